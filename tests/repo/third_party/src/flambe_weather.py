import click

from flambe.registry.hookspecs import hookimpl


class Forecast:
    def __init__(self, sun): self.sun = sun
    def step(self): from flambe import log; log("sun", self.sun, 1)
    def metric(self): return self.sun

class Almanac:
    def open(self, folder, *, merge_plot): self.file = open(f"{folder}/almanac.txt", "a")
    def write(self, stage, variant, records): self.file.writelines(f"{r.name} {r.value}\n" for r in records)
    def restart(self, stage, variant, records): self.write(stage, variant, records)
    def close(self): self.file.close()

@click.command("sky")
def sky(): click.echo("blue")

@hookimpl
def flambe_register_components(register): register.tag("Forecast", "flambe_weather:Forecast")
@hookimpl
def flambe_register_sinks(register): register("almanac", "flambe_weather:Almanac")
@hookimpl
def flambe_register_commands(register): register("sky", "flambe_weather:sky", help="The colour of the sky.")
