"""The Message Batches API on your desk: a loopback server that behaves as the real one has been seen to behave.

Nobody's model answers here: `model.py` is a plain stand-in, and says so. Everything around it follows recordings and
documents of the service as of November 2026 (API version 2026-10-21); where those are silent, the code says *assumed*.

    settings   what can be adjusted while it runs            catalog     models and their limits, with sources
    intake     a request body → a spool; create's refusals   validation  what makes a row an `errored` row
    content    prompts: their blocks and their problems      schema      JSON Schemas: their problems, and filling one
    model      the stand-in for a model                      usage       tokens and cache accounting
    reading    what the stand-in reads out of a text
    processing a batch's requests → its results              lifecycle   what a batch is at a moment
    store      batches and their files                       results     results on the wire, whole or damaged
    limits     requests a minute                             faults      misbehaviour on request
    audit      what was posted, and what was paid for twice  errors      the error envelope
    wire       responses, and connections dropped            clock       virtual time
    desk       the state, and how a batch is made            call        what endpoints share
    batches    the batch endpoints                           synchronous Messages, count_tokens, models
    control    the desk's own endpoints                      app         all routes; __main__: the process
"""
