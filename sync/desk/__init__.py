"""The reference desk: opens screenings with a coordinator's own key."""
