"""What the fork publishes: releases, their notes, images, and branches for review.

Everything starts from origin's production branch; `upgrade` brings in upstream's releases.
"""
