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

# The network layer of the mpich of `make env`: the addresses of its other one, ucx, are too long for
# Slurm's pmi2, and the ranks hang at their start; leave it empty for an MPI of the site
netmod="ofi"

# --- nothing to fill in below

# Tell sbatch and srun; what an earlier version of this file said is gone
unset SBATCH_ACCOUNT SBATCH_PARTITION SIMCORE_GPU_PARTITION SLURM_MPI_TYPE MPIR_CVAR_CH4_NETMOD
[[ -z $account ]] || export SBATCH_ACCOUNT="$account"
[[ -z $partition ]] || export SBATCH_PARTITION="$partition"
[[ -z $gpu_partition ]] || export SIMCORE_GPU_PARTITION="$gpu_partition"
[[ -z $mpi ]] || export SLURM_MPI_TYPE="$mpi"
[[ -z $netmod ]] || export MPIR_CVAR_CH4_NETMOD="$netmod"

# Find simcore, here and in the jobs
((${#modules[@]} == 0)) || module load "${modules[@]}"
[[ -z $environment ]] || source "$environment/bin/activate"
SIMCORE_SITE="$(realpath "${BASH_SOURCE[0]}")"
export SIMCORE_SITE
