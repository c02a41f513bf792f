import pytest

from study.cluster import ray_parts


def test_the_installed_ray_has_the_part(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    found = ray_parts.cluster_of_this_machine()
    assert found is None or found.rpartition(":")[2].isdigit()


@pytest.mark.parametrize(("module", "name"), [("ray._private.services", "gone"), ("ray._private.gone", "x")])
def test_a_part_that_is_gone_is_named_with_the_remedy(monkeypatch, module, name):
    monkeypatch.setattr(ray_parts, "MODULE", module)
    monkeypatch.setattr(ray_parts, "NAME", name)
    message = rf"^ray \S+ lacks {module}\.{name}, .* pip install \"ray\[tune\]>=2\.55,<3\", or name the cluster"
    with pytest.raises(ray_parts.RayPartsError, match=message):
        ray_parts.cluster_of_this_machine()
