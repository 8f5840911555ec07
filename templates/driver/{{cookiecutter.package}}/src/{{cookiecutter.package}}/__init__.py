"""bellwire driver and emulator of the {{cookiecutter.maker}} {{cookiecutter.product}}."""
