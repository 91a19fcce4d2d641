#!/bin/sh
# What main.c includes: made anew by each build.
echo '#define WORD "costs"'
