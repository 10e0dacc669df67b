"""The part of the executors' contract about linked values."""

from __future__ import annotations

from flambe.testing.driver import Driver
from flambe.trials.protocol import Failed, Finished, Stepped


class HandingContract:
    """How linked values get from one trial to others."""

    def test_linked_values_reach_later_trials(self, driver: Driver) -> None:
        links = ("make.size", "make.numbers", "make.items", "make.box")
        made = driver.submit("make", "v", build="Maker", exports=links)
        driver.run()
        arguments = {
            "number": "@make.size",
            "numbers": "@make.numbers",
            "items": "@make.items",
            "box": "@make.box",
        }
        takers = [
            driver.submit(
                "take", f"v{index}", build="Taker", arguments=arguments, imports={"make": driver.handle(made)}
            )
            for index in range(3)
        ]
        driver.run()
        for key in takers:
            found = driver.logged(key)
            assert isinstance(driver.ending(key), Finished), driver.ending(key)
            assert found["number"] == 100_000
            assert found["sum"] == sum(range(100_000))
            assert found["writable"] == 0, "large arrays are shared, and come out read-only"
            assert found["length"] == 3, "what another trial appended is not seen"
            assert found["same"] == 1, "what was one object is one object"
        driver.executor.release(driver.handle(made))

    def test_a_link_that_leads_nowhere_fails_who_has_it(self, driver: Driver) -> None:
        made = driver.submit("make", "v", build="Maker", exports=("make.size", "make.nothing"))
        driver.run()
        imports = {"make": driver.handle(made)}
        links = ("@make.size", "@make.nothing")
        found, lost = (
            driver.submit("take", link[6:], build="Taker", arguments={"number": link}, imports=imports)
            for link in links
        )
        driver.run()
        assert driver.logged(found)["number"] == 100_000
        ending = driver.ending(lost)
        assert isinstance(ending, Failed), ending
        assert ending.error == "make.nothing: make is a Maker without item, attribute or argument 'nothing'"

    def test_values_can_be_handed_on_and_on(self, driver: Driver) -> None:
        handle = None
        for index in range(4):
            stage, before = f"stage{index}", f"stage{index - 1}"
            key = driver.submit(
                stage,
                "v",
                build="Taker" if index else "Maker",
                arguments={"numbers": f"@{before}.numbers"} if index else {},
                imports={before: handle} if index else {},
                exports=(f"{stage}.numbers",),
            )
            driver.run()
            if handle is not None:
                driver.executor.release(handle)
            handle = driver.handle(key)
        assert driver.logged(key)["sum"] == sum(range(100_000))

    def test_a_finished_trial_is_loaded_for_its_values_alone(self, driver: Driver) -> None:
        key = driver.submit("count", "v", build="Counter", arguments={"steps": 4})
        driver.run()
        driver.events.clear()
        driver.submit(
            "count",
            "v",
            build="Counter",
            arguments={"steps": 4},
            exports=("count.count",),
            restore="finished",
        )
        driver.run()
        assert driver.of(key, Stepped) == []
        taker = driver.submit(
            "take",
            "v",
            build="Taker",
            arguments={"number": "@count.count"},
            imports={"count": driver.handle(key)},
        )
        driver.run()
        assert driver.logged(taker)["number"] == 4
