"""The command `chaski demo`: runs one screening through a real server and real tablet, and checks each step."""
