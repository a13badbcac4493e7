"""Izhikevich's neuron with the numerics of its paper."""

from simcore.library.izhikevich import izhikevich


class izhikevich_2003(izhikevich):
    """Izhikevich's neuron: two half steps of the potential, then one of the recovery.

    The weights of a step are an input, a mV/ms each pA, during it. Meant for a time step of 1 ms.
    Source: Izhikevich, IEEE Trans. Neural Netw. 14, 1569-1572 (2003); NEST's ``izhikevich`` with
    consistent_integration off.
    """

    equations = ""
    receptors = "I_syn [pA]: pass"
    method = "exact"
    update = """
        I = (I_e + I_syn)*mV/pA
        V_m += 0.5*h/ms*(0.04/mV*V_m*V_m + 5*V_m + 140*mV - U_m + I)
        V_m += 0.5*h/ms*(0.04/mV*V_m*V_m + 5*V_m + 140*mV - U_m + I)
        U_m += h*a*(b*V_m - U_m)
    """
