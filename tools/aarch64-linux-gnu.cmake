# Cross compilation for aarch64 Linux with Debian's compiler; programs run under qemu-user as a
# processor with everything that it knows, on any machine.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++)
set(CMAKE_EXE_LINKER_FLAGS_INIT -static)  # no other libraries of that machine are looked for
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -cpu max)
