"""The language of models: what its texts mean, and what is said of those that mean nothing."""

import math
from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

import simcore as sc
from simcore.language.interpreter import advance
from simcore.language.linear import exactly, linear_part, propagators
from simcore.language.program import make_program
from simcore.library import load
from simcore.services.comm import SerialComm
from simcore.services.errors import ConfigError, ModelError

H = 0.1

LEAKY = {
    "parameters": """
        tau   = 10   [ms]  membrane time constant
        C     = 250  [pF]  membrane capacitance
        E     = -70  [mV]  resting potential
        theta = -55  [mV]  threshold
        t_ref = 2    [ms]  refractory time
        I_e   = 0    [pA]  constant input current
    """,
    "valid": "tau > 0\nE < theta",
    "state": "V_m = E [mV]  membrane potential",
    "equations": "dV_m/dt = (E - V_m)/tau + I_e/C",
    "receptors": "in [mV]: V_m += weight",
    "threshold": "V_m >= theta",
    "reset": "V_m = E",
    "refractory": "t_ref: V_m",
}


def define(name="leaky", **parts):
    """Return a model that differs from a leaky neuron in some of its texts."""
    return type(name, (sc.NeuronModel,), LEAKY | parts)


def step(model, waiting=0, arrived=(0,), **states):
    """Return the states, the refractory steps and the spikes of a neuron after a step of 0.1 ms."""
    program = make_program(model)
    quanta = {f"quantum{k}": 1.0 for k in range(model.n_receptors)}
    numbers = np.array(program.values({"h": H, **model.values, **quanta}))
    columns = [np.array([states.get(name, 0.0)]) for name in program.states]
    left = np.array([waiting], dtype=np.int16)
    inputs = [np.array([n], dtype=np.int32) for n in arrived]
    spikes = advance(program, numbers, columns, left, 20, inputs)
    found = {name: float(v[0]) for name, v in zip(program.states, columns, strict=True)}
    return found, int(left[0]), int(spikes[0])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (
            {"equations": "dV_m/dt = -V_m/C"},
            r"equations: units differ: dV_m/dt is in mV\*ms\*\*-1, what it is given in "
            r"mV\*\*2\*ms\*\*-1\*pA\*\*-1 in 'dV_m/dt = -V_m/C'",
        ),
        (
            {"equations": "dV_m/dt = (E - U)/tau"},
            r"equations: unknown name 'U', known are .*E, .* in 'dV_m/dt = \(E - U\)/tau'",
        ),
        ({"equations": "dU/dt = -U/tau"}, "equations: unknown state 'U' in 'dU/dt = -U/tau'"),
        (
            {"equations": "dV_m/dt = -V_m/tau\ndV_m/dt = E/tau"},
            "equations: there are two equations for V_m in 'dV_m/dt = E/tau'",
        ),
        (
            {"equations": "dV_m/dt = E/tau - V_m*V_m/tau/mV"},
            "method: the equation of V_m is not linear .* Take rk4, or euler in 'exact'",
        ),
        (
            {"equations": "dV_m/dt = (V_m/mV)**2.5*mV/ms"},
            "equations: a power that is not a whole .* for parameters alone, .* in 'dV_m/dt",
        ),
        ({"equations": "dV_m/dt = (E - V_m)/"}, "equations: not a formula .* in 'dV_m/dt = "),
        (
            {"threshold": "V_m >= 5*pA"},
            r"threshold: units differ in 'V_m >= 5 \* pA': mV and pA in 'V_m >= 5\*pA'",
        ),
        ({"threshold": "exp(V_m) > 1"}, "threshold: units differ: the argument of exp is in 1, "),
        ({"threshold": "sin(1) > 0"}, "threshold: unknown function 'sin' of 1 arguments, known "),
        ({"threshold": "V_m in E"}, "threshold: 'V_m in E' is not part of the language"),
        ({"reset": "V_m = tau"}, "reset: units differ: V_m is in mV, .* in ms in 'V_m = tau'"),
        (
            {"reset": "for i in E: pass"},
            "reset: expected 'name = formula' or 'if' in 'for i in E:'",
        ),
        ({"reset": "V_m = E +"}, "reset: not statements .invalid syntax, line 1."),
        ({"reset": "while V_m: V_m = E"}, "reset: expected 'name = formula' or 'if' in 'while"),
        ({"reset": "if V_m:\n    V_m = E"}, "reset: expected a comparison after 'if' in 'if V_m"),
        ({"receptors": "in [pA]: V_m += weight"}, r"receptors: units differ in 'V_m \+ weight'"),
        ({"receptors": "in: V_m += weight"}, r"receptors: expected 'name \[unit\]: statements' in"),
        ({"state": "V_m = E [mVs]"}, r"state: 'mVs' is not a unit; known are mV, .* in 'V_m = E"),
        ({"state": "V_m = tau [mV]"}, "state: units differ: .* in ms in "),
        ({"state": "V_m [mV]"}, r"state: expected 'name = value \[unit\] meaning' in 'V_m \[mV\]'"),
        ({"valid": "tau > E"}, "valid: units differ in 'tau > E': ms and mV"),
        ({"refractory": "t_rev: V_m"}, "refractory: unknown parameter 't_rev' in 't_rev: V_m'"),
        ({"refractory": "t_ref: U"}, "refractory: unknown state 'U' in 't_ref: U'"),
        (
            {"equations": "dV_m/dt = uniform()*mV/ms"},
            r"equations: uniform\(\) is for before, update, threshold, emit, reset: it is drawn "
            "once a step in 'dV_m/dt",
        ),
        ({"receptors": "in [mV]: V_m += uniform()*weight"}, r"receptors: uniform\(\) is for befo"),
        ({"state": "V_m = uniform()*mV [mV]"}, r"state: uniform\(\) is for before, "),
        ({"threshold": "uniform(1) > 0"}, "threshold: unknown function 'uniform' of 1 arguments, "),
        (
            {"threshold": "uniform() > 0.5", "method": "rk4(4)", "spikes_within": True},
            r"threshold: uniform\(\) is drawn once a step, but this is done in each of 4 substeps",
        ),
        ({"method": "rk5"}, r"method: expected exact, euler, rk4 or rk4\(n\) in 'rk5'"),
    ],
)
def test_errors_name_model_part_symbol_and_line(parts, message):
    with pytest.raises(ModelError, match=f"^model leaky: {message}"):
        define(**parts)


@pytest.mark.parametrize("name", ["t0", "in1", "h", "waiting", "numbers", "lambda", "tau", "int32"])
def test_reserved_names_are_refused(name):
    with pytest.raises(ModelError, match=f"^model leaky: state: '{name}' is taken, choose another"):
        define(state=f"V_m = E [mV]\n{name} = 0 [1]")


@pytest.mark.parametrize("name", ["h", "weight", "refractory", "size", "first_values", "model"])
def test_names_of_parameters_that_mean_something_else_are_refused(name):
    with pytest.raises(ModelError, match=f"^model leaky: parameters: '{name}' is taken, choose"):
        define(parameters=f"{LEAKY['parameters']}\n{name} = 1 [1]")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tau": -1.0}, r"^leaky: tau is -1\.0, must satisfy tau > 0"),
        ({"E": -50.0}, r"^leaky: E is -50\.0, must satisfy E < theta"),
        ({"tau": math.nan}, "^leaky: tau is nan, must be a finite number"),
        ({"tau": "10"}, "^leaky: tau is '10', must be a finite number"),
        ({"tau": [[1.0, 2.0]]}, r"^leaky: tau is \[\[1\.0, 2\.0\]\], must be a finite number"),
        ({"tau": [1.0, -2.0]}, r"^leaky: tau\[1\] is -2\.0, must satisfy tau > 0"),
        (
            {"E": np.array([-70.0, -50.0]), "theta": sc.Constant(-55.0)},
            r"^leaky: E\[1\] is -50\.0, must satisfy E < theta",
        ),
        ({"tau": [1.0], "E": [-70.0, -71.0]}, r"^leaky: E is <2 values: .*, or 1 values, one for"),
        ({"tau_m": 1.0}, r"^leaky: parameter is 'tau_m', must be one of tau, C, E, theta, t_ref"),
    ],
)
def test_parameters_out_of_their_range(given, message):
    with pytest.raises(ModelError, match=message):
        define()(**given)


def test_values_are_converted_to_the_units_of_the_field():
    parameters = LEAKY["parameters"].replace("10   [ms]", "0.01 [s]").replace("250  [pF]", "2 [nF]")
    model = define(parameters=parameters)(tau=0.02)

    assert (model.values["tau"], model.values["C"]) == (20.0, 2000.0)
    assert model.describe()["tau"] == 0.02


CURRENTS = {
    "parameters": LEAKY["parameters"] + "\ntau_s[k] = 2, 3 [ms]  of each current",
    "valid": LEAKY["valid"] + "\ntau_s[k] > 0",
    "state": "V_m = E [mV]\nI[k] = 0 [pA]  each current",
    "equations": "dV_m/dt = (E - V_m)/tau + (sum(I[k]) + I_e)/C\ndI[k]/dt = -I[k]/tau_s[k]",
    "receptors": "[k] [pA]: I[k] += weight",
}


def test_lines_with_an_index_stand_for_one_a_value():
    lists = define("lists", **CURRENTS)
    plain = define(
        "plain",
        parameters=LEAKY["parameters"] + "\ntau_s_1 = 2 [ms]\ntau_s_2 = 3 [ms]",
        state="V_m = E [mV]\nI_1 = 0 [pA]\nI_2 = 0 [pA]",
        equations="dV_m/dt = (E - V_m)/tau + ((I_1 + I_2) + I_e)/C\n"
        "dI_1/dt = -I_1/tau_s_1\ndI_2/dt = -I_2/tau_s_2",
        receptors="1 [pA]: I_1 += weight\n2 [pA]: I_2 += weight",
    )

    # Equal formulas are the same object
    assert lists().definition.slopes == plain().definition.slopes
    assert lists().values == plain().values
    assert [r.name for r in lists().definition.receptors] == ["1", "2"]
    given = {"V_m": -60.0, "I_1": 50.0, "I_2": -20.0}
    assert step(lists(), 0, (3, 4), **given) == step(plain(), 0, (3, 4), **given)
    three = lists(tau_s=[1.0, 2.0, 4.0])
    assert [c.name for c in three.layout.reals] == ["V_m", "I_1", "I_2", "I_3"]
    assert three.n_receptors == 3
    assert lists(tau_s=[]).n_receptors == 0
    with pytest.raises(ModelError, match=r"^lists: tau_s_2 is -1\.0, must satisfy tau_s_2 > 0"):
        lists(tau_s=[1.0, -1.0])


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"equations": CURRENTS["equations"].replace("dI[k]", "dI[j]")}, "index of a list in a li"),
        ({"equations": CURRENTS["equations"].replace("sum(I[k])", "sum(V_m)")}, "index .* in a su"),
    ],
)
def test_indices_that_are_not_of_one_list(parts, message):
    with pytest.raises(ModelError, match=f"^model lists: equations: expected one {message}"):
        define("lists", **CURRENTS | parts)


@pytest.mark.parametrize(
    ("name", "linear"),
    [
        ("iaf_psc_exp", {"V_m", "I_ex", "I_in"}),
        ("iaf_cond_exp", {"g_ex", "g_in"}),
        ("iaf_cond_alpha", {"g_ex", "dg_ex", "g_in", "dg_in"}),
        # The adaptation is linear in the potential, but that is not
        ("aeif_psc_exp", {"I_ex", "I_in"}),
        ("izhikevich", set()),
    ],
)
def test_linear_part_is_found(name, linear):
    slopes = load(name)().definition.slopes
    assert set(linear_part(slopes, ["I_e"])) == linear


def test_coefficients_of_the_linear_part():
    model = define(equations="dV_m/dt = -(V_m - E)*2/tau + I_e/C - V_m/(4*ms)")()
    rows = linear_part(model.definition.slopes, ["I_e"])

    found = {name: exactly(x, model.values) for name, x in rows["V_m"].items()}
    assert found == {
        "V_m": Fraction(-9, 20), "I_e": Fraction(1, 250), None: Fraction(-14)
    }  # fmt: skip


@pytest.mark.parametrize("time", [1e-3, 0.1, 30.0])
def test_propagators_of_equal_time_constants_are_exact(time):
    """A chain x' = -x + y, y' = -y + z, z' = -z, whose solution has powers of the time."""
    one, none = Fraction(1), Fraction(0)
    found = propagators(((-one, one, none), (none, -one, one), (none, none, -one)), Fraction(time))
    with localcontext(prec=60):
        t = Decimal(time)
        decay, first, second = (float(p * (-t).exp()) for p in (1, t, t * t / 2))
    assert found == ((decay, first, second), (0.0, decay, first), (0.0, 0.0, decay))


def test_equal_time_constants_are_like_nearly_equal_ones():
    states = {"V_m": 3.0, "I_ex": 40.0, "dI_ex": 25.0}
    alpha = load("iaf_psc_alpha")
    equal, _, _ = step(alpha(tau_m=2.0, tau_syn_ex=2.0), 0, (0, 0), **states)
    near, _, _ = step(alpha(tau_m=2.0, tau_syn_ex=2.0 + 1e-12), 0, (0, 0), **states)
    assert equal == pytest.approx(near, rel=1e-11)
    t, decay = H / 2.0, math.exp(-H / 2.0)
    V_m = decay * (3.0 + H / 250.0 * (40.0 + 25.0 * 2.0 * t / 2.0))
    assert equal["V_m"] == pytest.approx(V_m, rel=1e-13)


def test_exact_step_with_input_threshold_and_refractory_time():
    leaky, decay = define()(I_e=100.0), math.exp(-H / 10.0)

    # The input of a step moves the potential at its end
    moved = -70.0 + 5.0 * decay + 4.0 * (1.0 - decay) + 2.0
    assert step(leaky, 0, (2,), V_m=-65.0) == ({"V_m": pytest.approx(moved)}, 0, 0)
    assert step(leaky, 0, (30,), V_m=-65.0) == ({"V_m": -70.0}, 20, 1)
    assert step(leaky, 2, (30,), V_m=-65.0) == ({"V_m": -65.0}, 1, 0)


def test_names_of_before_are_constants_of_the_step():
    model = define(
        state="V_m = E [mV]\nW = E [mV]",
        before="seen = 2*V_m\nV_m = V_m + 1*mV",
        equations="dV_m/dt = (E - V_m)/tau\ndW/dt = (seen - W)/tau",
    )()
    found, _, _ = step(model, V_m=-60.0, W=-64.0)
    decay = math.exp(-H / 10.0)
    assert found["V_m"] == pytest.approx(-70.0 + 11.0 * decay, rel=1e-14)
    assert found["W"] == pytest.approx(-120.0 + 56.0 * decay, rel=1e-14)


def test_update_knows_the_input_by_the_names_of_receptors():
    model = define(
        receptors="up [mV]: pass\ndown [1] count: pass",
        equations="",
        update="""
            if up > 3*mV and not refractory:
                V_m += up - 1*mV if down < 2 else 2*up
            else:
                V_m = max(V_m, -65*mV)
        """,
        refractory="t_ref:",
    )()
    for waiting, arrived, V_m in [
        (0, (5, 1), -62.0), (0, (5, 2), -56.0), (0, (3, 2), -65.0), (4, (5, 1), -65.0)
    ]:  # fmt: skip
        assert step(model, waiting, arrived, V_m=-66.0)[0] == {"V_m": V_m}


def test_update_may_be_a_function():
    class counted(sc.NeuronModel):
        state = "n = 0 [1]"
        receptors = "events [1] count: pass"
        threshold = "n >= 5"
        reset = "n -= 5"

        def update():
            n += 2 * events  # noqa: F821, F841

    assert step(counted(), 0, (3,), n=1.0) == ({"n": 2.0}, 0, 1)


def test_emit_says_how_often():
    class doubled(sc.NeuronModel):
        receptors = "events [1] count: pass"
        emit = "2*events"

    assert [step(doubled(), 0, (n,))[2] for n in (0, 1, 3)] == [0, 2, 6]


def test_refined_steps_are_those_of_the_finer_method():
    slope = "dV_m/dt = (E - V_m)/tau + (V_m - E)*(V_m - E)/tau/mV"
    coarse, fine, both = (
        define(equations=slope, method=method, refine=refine, threshold="V_m > 1*V")(theta=900.0)
        for method, refine in (("rk4", ""), ("rk4(8)", ""), ("rk4", "V_m >= -60*mV: 8"))
    )
    for V_m, same, other in ((-60.0, fine, coarse), (-60.5, coarse, fine)):
        assert step(both, V_m=V_m) == step(same, V_m=V_m) != step(other, V_m=V_m)


def test_method_follows_from_the_parameters_of_all_neurons():
    model = sc.iaf_cond_exp
    for fast in (1.9, [5.0, 1.9], sc.Uniform(5.0, 6.0)):
        assert model(tau_syn_ex=fast).definition.substeps == 2
    for slow in (2.0, [5.0, 2.0]):
        assert model(tau_syn_ex=slow).definition.substeps == 1
    lists = sc.iaf_psc_exp_multisynapse

    class several(lists):
        method = "tau_syn[k] >= 2*ms: euler\nexact"

    assert several(tau_syn=[1.0, 10.0]).definition.method == "exact"
    assert several(tau_syn=[3.0, 10.0]).definition.method == "euler"
    for condition in ("tau >= 2*h", "tau"):
        with pytest.raises(ModelError, match="method: expected a comparison of parameters"):
            define(method=f"{condition}: rk4(2)\nrk4")
    with pytest.raises(ModelError, match="method: units differ"):
        define(method="tau > 2*mV: rk4(2)\nrk4")


@pytest.mark.parametrize("method", ["exact", "rk4"])
def test_states_move_on_while_others_are_held(method):
    """U follows V_m, which stands still while the neuron is refractory."""
    model = define(
        state="V_m = E [mV]\nU = E [mV]",
        equations="dV_m/dt = (E - V_m)/tau\ndU/dt = (V_m - U)/(5*ms)",
        method=method,
        threshold="V_m >= 0*mV",
    )()
    fast = math.exp(-H / 5.0)
    free, waiting, _ = step(model, V_m=-50.0, U=-60.0)
    held, left, _ = step(model, waiting=3, V_m=-50.0, U=-60.0)

    slow = math.exp(-H / 10.0)
    follows = -70.0 + 10.0 * fast + 20.0 * 2.0 * (slow - fast)
    assert (free["V_m"], waiting) == (pytest.approx(-70.0 + 20.0 * slow), 0)
    assert free["U"] == pytest.approx(follows, rel=1e-10)
    assert (held["V_m"], left) == (-50.0, 2)
    assert held["U"] == pytest.approx(-50.0 - 10.0 * fast, rel=1e-10)


def test_description_holds_the_texts_of_a_model_of_ones_own():
    found = define()(tau=12.0).describe()
    assert (found["model"], found["tau"], found["C"]) == ("leaky", 12.0, 250.0)
    texts = found["definition"]
    assert texts["equations"] == "dV_m/dt = (E - V_m)/tau + I_e/C"
    assert "tau   = 10   [ms]  membrane time constant" in texts["parameters"].splitlines()
    assert {"state", "receptors", "threshold", "reset", "refractory", "method"} < set(texts)
    assert "definition" not in load("iaf_psc_exp")().describe()


def test_resume_refuses_an_edited_model_and_says_what_differs(tmp_path):
    def network(**parts):
        net = sc.Network(seed=2)
        cells = net.population("cells", 3, define(**parts)(I_e=900.0))
        net.record(cells, "spikes")
        return net

    path, options = tmp_path / "run.h5", {"comm": SerialComm(), "backend": "reference"}
    sc.simulate(network(), 10.0, output=path, checkpoint_every=10.0, **options)
    for part, text in {
        "reset": "V_m = E + 1*mV",
        "equations": "dV_m/dt = (E - V_m)/tau + 2*I_e/C",
        "method": "rk4",
    }.items():
        told = rf"\.definition\.{part} was '.*' and is '"
        with pytest.raises(ConfigError, match=told):
            sc.resume(path, network(**{part: text}), until=20.0, **options)
    with pytest.raises(ConfigError, match=r"\.definition\.refine is new"):
        sc.resume(path, network(refine="V_m > E: 2"), until=20.0, **options)
    # Space around the lines means nothing
    run = sc.resume(path, network(reset="\n\n    V_m = E\n"), until=20.0, **options)
    assert run.status == "complete"
