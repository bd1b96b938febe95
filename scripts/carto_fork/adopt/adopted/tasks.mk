# The tasks that keep this fork on its upstream: `make -f <<makefile>> upgrade-<<key>> TAG=<<tag>>`,
# or `include <<makefile>>` in a Makefile, with whose targets none of these collides: each ends in
# -<<key>>. Without one, `make -f <<makefile>>` prints what to type next. They need
#   pip install <<hashed>> <<dependencies>>
#   pip install <<alone>> <<requirements>>
# Variables: TAG, an upstream release; ARGS, more options, split at spaces.

<<key>>_targets := $(addsuffix -<<key>>,next setup status doctor sync-main upgrade resolve verify \
	forecast heal detect guard)
<<if releases>>
<<key>>_targets += release-<<key>>
<<end>>
<<if images>>
<<key>>_targets += images-<<key>>
<<end>>
.PHONY: $(<<key>>_targets)

# A value from outside is text. $(value) keeps make from expanding it, but only if one of these
# targets was asked for, and recipes use it only as a quoted shell variable. ARGS is not quoted: the
# shell splits it, and set -f prevents globbing. Recipes do not pass them on: a make inside has
# variables of its own.
ifneq (,$(filter $(<<key>>_targets),$(MAKECMDGOALS)))
override TAG := $(value TAG)
override ARGS := $(value ARGS)
export TAG ARGS
endif
<<key>>_fork = set -f; env -u TAG -u ARGS -u MAKEFLAGS -u MFLAGS -u MAKEOVERRIDES -u MAKELEVEL carto-fork
<<key>>_tag = $${TAG:+--tag="$$TAG"}

next-<<key>>: ; @$(<<key>>_fork) next $$ARGS
setup-<<key>>: ; @$(<<key>>_fork) setup $$ARGS
status-<<key>>: ; @$(<<key>>_fork) status $$ARGS
doctor-<<key>>: ; @$(<<key>>_fork) doctor $$ARGS
sync-main-<<key>>: ; @$(<<key>>_fork) sync-main $$ARGS
upgrade-<<key>>: ; @$(<<key>>_fork) upgrade-carto $(<<key>>_tag) $$ARGS
resolve-<<key>>: ; @$(<<key>>_fork) resolve-conflicts $$ARGS
verify-<<key>>: ; @$(<<key>>_fork) verify $(<<key>>_tag) $$ARGS
forecast-<<key>>: ; @$(<<key>>_fork) forecast $(<<key>>_tag) $$ARGS
heal-<<key>>: ; @$(<<key>>_fork) fork.heal $$ARGS
detect-<<key>>: ; @$(<<key>>_fork) ci.detect $$ARGS
guard-<<key>>: ; @$(<<key>>_fork) ci.guard $$ARGS
<<if releases>>
release-<<key>>: ; @$(<<key>>_fork) release $$ARGS
<<end>>
<<if images>>
images-<<key>>: ; @$(<<key>>_fork) ci.images $$ARGS
<<end>>
