"""Two links through one optical switch on real processes: orders reach the emulated switch as its bytes."""

from pathlib import Path

from tests.hosts.live import lab_up, live_lab


async def test_two_requests_take_turns_at_a_switch_and_the_second_hears_who_holds_it(tmp_path: Path) -> None:
    """Nothing but the mirrors of the emulated switch lets a link give heralds: pairs prove the change."""
    lab = live_lab(tmp_path, "switched_hub")
    async with lab_up(lab, tmp_path / "state") as live:
        for request in lab.requests:
            await live.supervisor.submit(request)
        for request in lab.requests:
            assert await live.ended(request.request_id) == "completed"
        await live.look()
        ready = [one["fields"] for one in live.reports if one["name"] == "switch_ready"]
        assert sorted({str(one["setting"]) for one in ready}) == ["east", "west"]
        fences = [int(one["fence"]) for one in ready]
        assert fences == sorted(fences)
        first, second = (str(one["links"]).removeprefix("hub-") for one in (ready[0], ready[-1]))
        refused = [
            str(one["fields"]["reason"])
            for one in live.reports
            if one["name"] == "plan_failed" and one["request"] == f"with_{second}"
        ]
        assert any(f"with_{first} holds it" in reason for reason in refused), refused
