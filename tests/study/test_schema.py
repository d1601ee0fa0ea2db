"""What registries know is in the schema."""

from organbench.data import splits
from organbench.study import schema as schema_of_study
from organbench.study.schema import filled


def test_a_split_method_is_known_once_it_is_registered(schema):
    method = schema["properties"]["split"]["properties"]["method"]
    assert method["enum"] == list(splits.METHODS)
    assert all(f"{name}: {known.meaning}" in method["description"] for name, known in splits.METHODS.items())


def test_names_are_filled_in_where_a_registry_is_meant():
    names = list(splits.METHODS)
    assert filled({"registry": "splits"}) == {"enum": names}
    assert filled([{"items": {"registry": "splits"}}]) == [{"items": {"enum": names}}]
    assert filled({"registry": {"type": "string"}}) == {"registry": {"type": "string"}}  # a key of that name


def test_no_registry_is_left_for_the_validator(schema):
    schema_of_study.Validator.check_schema(schema)
    assert "registry" not in str(schema)
