"""What feeds polls, hours and zones into Kafka."""
