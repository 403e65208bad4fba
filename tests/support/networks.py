"""The scaled-down network on which the cascade is compared, and the same network for other simulators."""

from verification.oracles import lesions
from verification.oracles.network import Network, Rates, founders

__all__ = ["Network", "Rates", "founders", "lesions"]  # the peers import the oracles from here

ARREST_PER_DAY = {
    "lung": 4.4, "liver": 1.2, "bone": 0.25, "brain": 0.55, "adrenal": 0.02, "kidney": 0.9, "muscle": 0.8, "other": 1.7,
}  # fmt: skip
DAYS = 30.0


def scaled_down(shed_per_day):
    """Return 41 species and 82 reactions, scaled so that founders are common enough to count."""
    return Network(
        shed_per_day,
        4.9,
        {o: Rates(rate, 2.0, 0.5, 0.9, 0.1, 0.002, 0.05) for o, rate in ARREST_PER_DAY.items()},
    )


def gillespy2_model(network, days):
    """Return the network as a GillesPy2 model."""
    import gillespy2  # noqa: PLC0415

    model = gillespy2.Model(name="cascade")
    species = {name: gillespy2.Species(name=name, initial_value=0, mode="discrete") for name in network.species}
    model.add_species(list(species.values()))
    for i, reaction in enumerate(network.reactions):
        rate = gillespy2.Parameter(name=f"k{i}", expression=str(reaction.rate))
        model.add_parameter(rate)
        model.add_reaction(
            gillespy2.Reaction(
                name=f"r{i}",
                reactants={species[reaction.source]: 1} if reaction.source else {},
                products={species[reaction.target]: 1} if reaction.target else {},
                rate=rate,
            )
        )
    model.timespan(gillespy2.TimeSpan([0.0, days]))
    return model


def copasi_model(network):
    """Return the network as a COPASI model by basico, in particle numbers."""
    import basico  # noqa: PLC0415

    model = basico.new_model(name="cascade", quantity_unit="#", volume_unit="l", time_unit="d")
    for name in network.species:
        basico.add_species(name, initial_particle_number=0, model=model)
    for i, reaction in enumerate(network.reactions):
        scheme = f"{reaction.source or ''} -> {reaction.target or ''}"
        basico.add_reaction(f"r{i}", scheme, model=model)
        name = f"(r{i}).{'v' if reaction.source is None else 'k1'}"
        basico.set_reaction_parameters(name, value=reaction.rate, model=model)
    return model


def gillespy2_solver(model):
    """Return GillesPy2's compiled direct method for a model."""
    import gillespy2  # noqa: PLC0415

    return gillespy2.SSACSolver(model=model)


def copasi_founders(model, network, days, runs):
    """Return the founders of all organs in some runs of COPASI's direct method."""
    import basico  # noqa: PLC0415
    import numpy as np  # noqa: PLC0415

    found = []
    for seed in range(1, runs + 1):
        course = basico.run_time_course(
            start_time=0, duration=days, intervals=1, method="directMethod", use_seed=True, seed=seed,
            use_numbers=True, max_steps=100_000_000, model=model,
        )  # fmt: skip
        found.append(sum(course[f"founder_{organ}"].iloc[-1] for organ in network.organs))
    return np.array(found)
