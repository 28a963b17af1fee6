"""The second factor: an authenticator app, and recovery codes."""

from fastapi import APIRouter

router = APIRouter()
