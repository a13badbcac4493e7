# shellcheck shell=bash
# What all job scripts take from this site: fill this in, once, then `source slurm/site.sh`

# Who pays, and where to run; leave empty what the site does not ask for
account=""
partition=""
gpu_partition=""

# Modules: Python, the MPI that mpi4py was built against, CUDA; leave empty where there are none
modules=()

# The virtual environment with simcore; this one is what `make env` makes. Leave it empty where a
# module or a container brings simcore
environment="$(dirname "${BASH_SOURCE[0]}")/../.venv"

# How srun starts the ranks of the MPI: pmi2 for the mpich of `make env`, pmix for Open MPI;
# `srun --mpi=list` tells what there is
mpi="pmi2"

# --- nothing to fill in below

# Tell sbatch and srun
[[ -z $account ]] || export SBATCH_ACCOUNT="$account"
[[ -z $partition ]] || export SBATCH_PARTITION="$partition"
[[ -z $gpu_partition ]] || export SIMCORE_GPU_PARTITION="$gpu_partition"
[[ -z $mpi ]] || export SLURM_MPI_TYPE="$mpi"

# Find simcore, here and in the jobs
((${#modules[@]} == 0)) || module load "${modules[@]}"
[[ -z $environment ]] || source "$environment/bin/activate"
SIMCORE_SITE="$(realpath "${BASH_SOURCE[0]}")"
export SIMCORE_SITE
