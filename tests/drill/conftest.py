"""The drill's assertions say what they compared."""

import pytest

pytest.register_assert_rewrite("tests.drill.drill", "tests.integration.conftest")
