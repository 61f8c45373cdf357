"""The producers: they write polls, business hours and timezones to Kafka."""
