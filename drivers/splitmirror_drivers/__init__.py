"""Drivers of splitmirror: contracts, a small kit, and one file per array, application, host, presentation, product."""
