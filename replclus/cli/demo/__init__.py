"""The whole story on a throw-away sandbox: load, kill the primary under load, bring it back, compare every server.

Its processes are real: database servers, a `replclus watchdog`, and applications that know `replclus.connect` only.
"""
