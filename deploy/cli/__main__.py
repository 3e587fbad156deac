"""`python -m deploy.cli` is `stepwell`."""

from deploy.cli.main import app

if __name__ == "__main__":
    app(prog_name="stepwell")
