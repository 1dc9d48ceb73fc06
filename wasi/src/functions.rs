//! The one list of WASI functions, from which everything else is generated.

/// Hands the functions of WASI to the macro named: those that preview 0 and
/// preview 1 share (with the same wasm signature), then those that came with
/// preview 1.
///
/// A row is a function with its wasm parameters; each returns an error number,
/// 0 for success. A row may end in what has to be added to the implementation
/// underneath:
/// - `strings FIELD BUFFER`: first check that the buffer holds the context's
///   strings;
/// - `socket FD`: tell a descriptor that is no socket from one not open.
///
/// `proc_exit` is missing: it returns nothing, and is written out where the
/// others are generated.
macro_rules! for_each_function {
    ($callback:ident) => {
        $callback! {
            shared {
                args_get(argv: i32, argv_buf: i32) strings args argv_buf;
                args_sizes_get(count: i32, size: i32);
                environ_get(environ: i32, environ_buf: i32) strings env environ_buf;
                environ_sizes_get(count: i32, size: i32);
                clock_res_get(id: i32, resolution: i32);
                clock_time_get(id: i32, precision: i64, time: i32);
                fd_advise(fd: i32, offset: i64, length: i64, advice: i32);
                fd_allocate(fd: i32, offset: i64, length: i64);
                fd_close(fd: i32);
                fd_datasync(fd: i32);
                fd_fdstat_get(fd: i32, stat: i32);
                fd_fdstat_set_flags(fd: i32, flags: i32);
                fd_fdstat_set_rights(fd: i32, base: i64, inheriting: i64);
                fd_filestat_get(fd: i32, stat: i32);
                fd_filestat_set_size(fd: i32, size: i64);
                fd_filestat_set_times(fd: i32, atim: i64, mtim: i64, flags: i32);
                fd_pread(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nread: i32);
                fd_prestat_get(fd: i32, prestat: i32);
                fd_prestat_dir_name(fd: i32, path: i32, path_len: i32);
                fd_pwrite(fd: i32, iovs: i32, iovs_len: i32, offset: i64, nwritten: i32);
                fd_read(fd: i32, iovs: i32, iovs_len: i32, nread: i32);
                fd_readdir(fd: i32, buf: i32, buf_len: i32, cookie: i64, used: i32);
                fd_renumber(fd: i32, to: i32);
                fd_seek(fd: i32, offset: i64, whence: i32, position: i32);
                fd_sync(fd: i32);
                fd_tell(fd: i32, position: i32);
                fd_write(fd: i32, iovs: i32, iovs_len: i32, nwritten: i32);
                path_create_directory(fd: i32, path: i32, path_len: i32);
                path_filestat_get(fd: i32, flags: i32, path: i32, path_len: i32, stat: i32);
                path_filestat_set_times(
                    fd: i32, flags: i32, path: i32, path_len: i32, atim: i64, mtim: i64, fst_flags: i32
                );
                path_link(
                    old_fd: i32, old_flags: i32, old: i32, old_len: i32, new_fd: i32, new: i32, new_len: i32
                );
                path_open(
                    fd: i32, dirflags: i32, path: i32, path_len: i32, oflags: i32,
                    base: i64, inheriting: i64, fdflags: i32, opened: i32
                );
                path_readlink(fd: i32, path: i32, path_len: i32, buf: i32, buf_len: i32, used: i32);
                path_remove_directory(fd: i32, path: i32, path_len: i32);
                path_rename(fd: i32, old: i32, old_len: i32, new_fd: i32, new: i32, new_len: i32);
                path_symlink(old: i32, old_len: i32, fd: i32, new: i32, new_len: i32);
                path_unlink_file(fd: i32, path: i32, path_len: i32);
                poll_oneoff(subscriptions: i32, events: i32, count: i32, nevents: i32);
                proc_raise(signal: i32);
                sched_yield();
                random_get(buf: i32, buf_len: i32);
                sock_recv(fd: i32, iovs: i32, iovs_len: i32, flags: i32, nread: i32, roflags: i32) socket fd;
                sock_send(fd: i32, iovs: i32, iovs_len: i32, flags: i32, nwritten: i32) socket fd;
                sock_shutdown(fd: i32, how: i32) socket fd;
            }
            preview1 {
                sock_accept(fd: i32, flags: i32, accepted: i32) socket fd;
            }
        }
    };
}

pub(crate) use for_each_function;
