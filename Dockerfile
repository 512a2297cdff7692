# The book in a container: `docker build -t faiglib .`, then `docker run --rm -v "$PWD/out:/faiglib/build" faiglib`.
# By the rules that tests/project/test_containers.py holds; where it was written, no container could be built.
FROM python:3.11.13-slim-bookworm

# git is for the provenance of the pages, and all that the slim image lacks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.39.* \
    && rm -rf /var/lib/apt/lists/*

WORKDIR /faiglib
RUN useradd --create-home reader && chown reader /faiglib

# What changes least comes first, so that a change of the project does not fetch it again. PyTorch's CPU build is enough.
ENV PIP_NO_CACHE_DIR=1 \
    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
COPY constraints.txt ./
RUN python -m pip install --constraint constraints.txt nox

USER reader
COPY --chown=reader . ./
RUN nox -s env

CMD ["nox", "-s", "reproduce", "--", "--profile", "quick"]
