"""What goes by mail: confirming an address, setting a new password."""

from fastapi import APIRouter

router = APIRouter()
