"""Django: `ENGINE = "replclus.integrations.django"`. Django imports `base` from here; docs/applications.md has the settings."""
