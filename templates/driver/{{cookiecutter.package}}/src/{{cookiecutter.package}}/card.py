"""What `bellwire drivers` says about this driver. The suite fails until every UNKNOWN is replaced."""

from bellwire.drivers.card import DriverCard

CARD = DriverCard(
    name="{{cookiecutter.driver}}",
    maker="{{cookiecutter.maker}}",
    product="{{cookiecutter.product}}",
    place="{{cookiecutter.package}}.driver:{{cookiecutter.class_name}}",
    roles=("UNKNOWN",),  # names of bellwire.drivers.roles.ROLES
    transport="UNKNOWN",  # such as "serial 9600, text lines"
    address="UNKNOWN",  # an example: "/dev/ttyUSB0", "TCPIP::192.0.2.5::5025::SOCKET", "tcp://192.0.2.5:1234"
    seen_on=(),  # serial number and firmware of real instruments, when there were any
    unverified=("UNKNOWN",),  # what you believe about the instrument and could not check; () when nothing
)
