"""For other people's tests: emulated instruments and labs as pytest fixtures, and the suite that any driver
must pass.

Owns the pytest plugin that comes with bellwire. Refuses bellwire's own tests, which live outside of the
package.
"""
