# The engines of aio/open.c, for the tests: those that work on every host, and those that need the module. A test
# (client/taio) compares them with what `taio engines --names` prints.
set(TAIO_ENGINES poll threads:park threads:block epoll)
set(TAIO_ENGINES_KMOD kmod:task kmod:task-noinline kmod:park kmod:park-noinline kmod:worker kmod:worker-noinline
	kmod:block kmod:block-noinline)
