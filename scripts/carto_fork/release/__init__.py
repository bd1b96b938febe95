"""What the fork publishes: releases, their notes, images, and branches for review.

All of it from the production branch as it is on origin; upstream's releases come in by `upgrade`.
"""
