"""Personal access tokens."""

from fastapi import APIRouter

router = APIRouter()
