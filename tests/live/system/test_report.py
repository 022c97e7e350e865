"""What a run leaves behind: its report, from the journal alone, and a chain that shows the journal as it was written."""

import pytest

pytestmark = pytest.mark.live


def test_a_run_is_accounted_for_and_its_journal_holds(shop, unharmed):
    change = shop.change(web={"to": shop.other("web"), "strategy": "blue-green"})
    run = shop.run("--json", "apply", change).lines[0]["run"]
    report = shop.json("show", run, "--report", "json")
    assert (report["run"], report["state"]) == (run, "completed")
    assert report["promised"]["source"].startswith("change: ")
    assert [step["state"] for step in report["steps"]] == ["done"] * len(report["promised"]["steps"])
    assert all(step["took_s"] is not None for step in report["steps"])
    assert report["requests"]["failed"] == 0
    assert [each["what"] for each in report["people"]] == ["apply"]
    assert report["people"][0]["who"]
    page = shop.run("show", run, "--report", "md").out
    assert page.startswith(f"# Run {run}: ")
    assert "It is completed." in page
    found = shop.json("audit", "verify")
    assert found["broken"] is None
    assert found["facts"] >= report["journal"]["facts"]
    shop.run("rollback", run)
    assert shop.json("audit", "verify", "--expect", found["head"])["facts"] > found["facts"]
    after = shop.json("show", run, "--report", "json")
    assert after["state"] == "rolled-back"
    assert after["steps"][0]["taking_back_took_s"] is not None
    assert [each["what"] for each in after["people"]][:2] == ["apply", "rollback"]


def test_a_head_that_is_none_and_a_run_that_is_none_are_refused(shop):
    assert "invalid-value" in shop.run("audit", "verify", "--expect", "12", expect=2).err
    assert "unknown-run" in shop.run("show", "r999", "--report", "md", expect=2).err
