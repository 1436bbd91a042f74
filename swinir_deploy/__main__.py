"""Run the command line: ``python -m swinir_deploy`` is the same as ``swinir-deploy``."""

from swinir_deploy.cli.main import main

if __name__ == "__main__":
    main()
