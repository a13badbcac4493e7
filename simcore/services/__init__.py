"""What every room needs: errors, communication between ranks, timers, progress, memory."""
