"""Devices, GPU locks and energy."""
