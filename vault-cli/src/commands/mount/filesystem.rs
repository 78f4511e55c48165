//! What the kernel asks through FUSE, answered by a [`Browser`].
//!
//! An entry that cannot be read costs a line and an error for the one who asked; everything else goes on. What a snapshot holds
//! never changes, so the kernel may keep it for as long as it likes; what stands above the snapshots is asked for again each second.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use fuser::{
    AccessFlags, Errno, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags,
    KernelConfig, LockOwner, OpenAccMode, OpenFlags, ReplyAttr, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyXattr, Request,
};
use vault_core::ops::browse::{
    Attributes, BrowseError, Browser, FileKind, Inode, Listed, OpenDirectory, OpenFile,
};

use super::attributes::{BLOCK_BYTES, dot_attr, file_attr, file_type};
use super::told;
use crate::ui::{Ui, human};

/// How long the kernel may keep what never changes.
const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);
/// How long it may keep what stands above the snapshots.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How often the log is followed for those who only use `latest`.
const FOLLOW: Duration = Duration::from_secs(1);
/// Requests that the kernel may have under way in the background, such as reading ahead.
const BACKGROUND: u16 = 64;
/// Entries that are remembered as told of; then it begins anew.
const TOLD_MOST: usize = 10_000;
/// `whence` of a search for data, and for a hole.
const SEEK_DATA: i32 = 3;
const SEEK_HOLE: i32 = 4;

/// A vault as the kernel sees it.
pub(super) struct VaultFilesystem {
    browser: Arc<Browser>,
    ui: Ui,
    files: Handles<OpenFile>,
    directories: Handles<OpenDirectory>,
    /// Inodes of which it was told that they cannot be read.
    told: Mutex<HashSet<u64>>,
    failures: Arc<AtomicU64>,
    followed: Mutex<Instant>,
    ended: Sender<()>,
    enforcing_permissions: bool,
}

impl VaultFilesystem {
    /// Shows `browser`. Counts in `failures` what could not be read, and says through `ended` when all is over.
    pub(super) fn new(browser: Arc<Browser>, ui: Ui, failures: Arc<AtomicU64>, ended: Sender<()>) -> Self {
        Self {
            browser,
            ui,
            files: Handles::default(),
            directories: Handles::default(),
            told: Mutex::default(),
            failures,
            followed: Mutex::new(Instant::now()),
            ended,
            enforcing_permissions: false,
        }
    }

    /// Has the kernel allow each user what the recorded owners, modes and ACLs allow.
    pub(super) fn enforcing_permissions(self, enforcing_permissions: bool) -> Self {
        Self { enforcing_permissions, ..self }
    }

    /// Says which snapshots cannot be shown.
    pub(super) fn tell_faults(&self) {
        for fault in self.browser.take_faults() {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.ui.damage(&told(&fault));
        }
    }

    /// Looks for new snapshots.
    fn follow(&self) {
        *lock(&self.followed) = Instant::now();
        match self.browser.refresh() {
            Ok(_) => self.tell_faults(),
            // An inode of 0 stands for the log.
            Err(error) => self.tell(0, "new snapshots cannot be looked for", &error),
        }
    }

    /// Looks for new snapshots, unless that was done a moment ago.
    fn follow_sometimes(&self) {
        if lock(&self.followed).elapsed() >= FOLLOW {
            self.follow();
        }
    }

    /// Whether an inode is a directory above the snapshots.
    fn is_above_snapshots(&self, inode: INodeNo) -> bool {
        let attributes = self.browser.attributes(Inode(inode.0));
        attributes.is_ok_and(|known| !known.lasting && known.kind == FileKind::Directory)
    }

    /// What to answer after an error; tells of damage.
    fn errno(&self, inode: INodeNo, error: &BrowseError) -> Errno {
        match error {
            BrowseError::NotThere => Errno::ENOENT,
            BrowseError::Stale => Errno::ESTALE,
            BrowseError::OtherKind => Errno::EINVAL,
            BrowseError::Vault(error) => {
                let path = self.browser.path_of(Inode(inode.0)).unwrap_or_default();
                self.tell(inode.0, &format!("{} cannot be read", human::path(&path)), error);
                Errno::EIO
            }
            _ => Errno::EIO,
        }
    }

    /// Tells of what cannot be read, once for each inode.
    fn tell(&self, inode: u64, what: &str, error: &vault_core::error::Error) {
        let mut told_of = lock(&self.told);
        if told_of.len() >= TOLD_MOST {
            told_of.clear();
        }
        if told_of.insert(inode) {
            self.failures.fetch_add(1, Ordering::Relaxed);
            self.ui.warn(&format!("{what}: {}", told(error)));
        }
    }

    fn look_up(&self, parent: INodeNo, name: &OsStr) -> Result<(Attributes, Duration), BrowseError> {
        let above = self.is_above_snapshots(parent);
        let look_up = || self.browser.look_up(Inode(parent.0), name.as_bytes());
        let attributes = match look_up() {
            Err(BrowseError::NotThere) if above => {
                self.follow_sometimes();
                look_up()?
            }
            found => found?,
        };
        Ok((attributes, if above { A_MOMENT } else { FOREVER }))
    }

    /// Lists a directory with `.` and `..`: `each` gets what is listed and the offset after it, and says whether there is room for more.
    fn list(
        &self,
        (inode, handle, offset): (INodeNo, FileHandle, u64),
        each: &mut dyn FnMut(&Row<'_, '_>, u64) -> bool,
    ) -> Result<(), Errno> {
        let directory = self.directories.get(handle).ok_or(Errno::EBADF)?;
        let dots = [Row::Dot(inode.0, "."), Row::Dot(directory.parent().0, "..")];
        for (row, next) in dots.iter().zip(1..).skip(usize::try_from(offset).unwrap_or(usize::MAX)) {
            if !each(row, next) {
                return Ok(());
            }
        }
        let listed = self.browser.list(&directory, offset.saturating_sub(2), &mut |listed| {
            each(&Row::Entry(listed), listed.next + 2)
        });
        listed.map_err(|error| self.errno(inode, &error))
    }
}

/// A line of a listing.
enum Row<'r, 'l> {
    /// A directory under one of its two other names.
    Dot(u64, &'static str),
    Entry(&'r Listed<'l>),
}

impl Filesystem for VaultFilesystem {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        let mut wanted = vec![
            InitFlags::FUSE_DO_READDIRPLUS,
            InitFlags::FUSE_READDIRPLUS_AUTO,
            InitFlags::FUSE_PARALLEL_DIROPS,
        ];
        if self.enforcing_permissions {
            wanted.push(InitFlags::FUSE_POSIX_ACL);
        }
        for capability in wanted {
            // An older kernel does without.
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_background(BACKGROUND);
        Ok(())
    }

    fn destroy(&mut self) {
        // Nobody listens when the command ends by itself.
        let _ = self.ended.send(());
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.look_up(parent, name) {
            Ok((found, lasts)) => {
                reply.entry_with_ttls(&attributes_last(&found), &lasts, &file_attr(&found), Generation(0));
            }
            Err(error) => reply.error(self.errno(parent, &error)),
        }
    }

    fn forget(&self, _: &Request, inode: INodeNo, references: u64) {
        self.browser.forget(Inode(inode.0), references);
    }

    fn getattr(&self, _: &Request, inode: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.browser.attributes(Inode(inode.0)) {
            Ok(attributes) => reply.attr(&attributes_last(&attributes), &file_attr(&attributes)),
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn readlink(&self, _: &Request, inode: INodeNo, reply: ReplyData) {
        // Links above the snapshots may be about to point elsewhere.
        if self.browser.attributes(Inode(inode.0)).is_ok_and(|known| !known.lasting) {
            self.follow_sometimes();
        }
        match self.browser.read_link(Inode(inode.0)) {
            Ok(target) => reply.data(&target),
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn open(&self, _: &Request, inode: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.acc_mode() != OpenAccMode::O_RDONLY {
            return reply.error(Errno::EROFS);
        }
        match self.browser.open_file(Inode(inode.0)) {
            Ok(file) => reply.opened(self.files.add(file), FopenFlags::FOPEN_KEEP_CACHE),
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn read(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.files.get(handle) else { return reply.error(Errno::EBADF) };
        match self.browser.read(&file, offset, size) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let Some(file) = self.files.get(handle) else { return reply.error(Errno::EBADF) };
        let Ok(from) = u64::try_from(offset) else { return reply.error(Errno::ENXIO) };
        let found = match whence {
            SEEK_DATA => self.browser.next_data(&file, from),
            SEEK_HOLE => self.browser.next_hole(&file, from),
            _ => return reply.error(Errno::EINVAL),
        };
        match found.and_then(|at| i64::try_from(at).ok()) {
            Some(at) => reply.offset(at),
            None => reply.error(Errno::ENXIO),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.remove(handle);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // There is nothing to flush: the kernel need not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn opendir(&self, _: &Request, inode: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let above = self.is_above_snapshots(inode);
        if above {
            self.follow();
        }
        match self.browser.open_directory(Inode(inode.0)) {
            Ok(directory) => {
                let lasting = FopenFlags::FOPEN_KEEP_CACHE | FopenFlags::FOPEN_CACHE_DIR;
                let flags = if above { FopenFlags::empty() } else { lasting };
                reply.opened(self.directories.add(directory), flags);
            }
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let listed = self.list((inode, handle, offset), &mut |row, next| {
            let full = match row {
                Row::Dot(inode, name) => reply.add(INodeNo(*inode), next, FileType::Directory, name),
                Row::Entry(entry) => {
                    let (inode, kind) = entry.peek();
                    reply.add(INodeNo(inode.0), next, file_type(kind), OsStr::from_bytes(entry.name))
                }
            };
            !full
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => reply.error(errno),
        }
    }

    fn readdirplus(
        &self,
        _: &Request,
        inode: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let above = self.is_above_snapshots(inode);
        let mut referred = Vec::new();
        let listed = self.list((inode, handle, offset), &mut |row, next| match row {
            // The kernel takes neither attributes nor a reference from these two.
            Row::Dot(inode, name) => {
                let attr = dot_attr(*inode);
                !reply.add(attr.ino, next, name, &Duration::ZERO, &attr, Generation(0))
            }
            Row::Entry(entry) => {
                let attributes = entry.refer();
                let attr = file_attr(&attributes);
                let lasts = if above { A_MOMENT } else { attributes_last(&attributes) };
                let name = OsStr::from_bytes(entry.name);
                let full = reply.add(attr.ino, next, name, &lasts, &attr, Generation(0));
                if full {
                    self.browser.forget(attributes.inode, 1);
                } else {
                    referred.push(attributes.inode);
                }
                !full
            }
        });
        match listed {
            Ok(()) => reply.ok(),
            Err(errno) => {
                // The kernel never hears of what was added before the error.
                referred.into_iter().for_each(|inode| self.browser.forget(inode, 1));
                reply.error(errno);
            }
        }
    }

    fn releasedir(&self, _: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        self.directories.remove(handle);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        let totals = self.browser.totals();
        let blocks = totals.bytes.div_ceil(BLOCK_BYTES.into());
        reply.statfs(blocks, 0, 0, totals.files, 0, BLOCK_BYTES, 255, BLOCK_BYTES);
    }

    fn getxattr(&self, _: &Request, inode: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match self.browser.xattr(Inode(inode.0), name.as_bytes()) {
            Ok(Some(value)) => send_xattr(&value, size, reply),
            Ok(None) => reply.error(Errno::NO_XATTR),
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn listxattr(&self, _: &Request, inode: INodeNo, size: u32, reply: ReplyXattr) {
        match self.browser.xattr_names(Inode(inode.0)) {
            Ok(names) => {
                let list: Vec<u8> = names.into_iter().flat_map(|name| name.into_iter().chain([0])).collect();
                send_xattr(&list, size, reply);
            }
            Err(error) => reply.error(self.errno(inode, &error)),
        }
    }

    fn access(&self, _: &Request, _: INodeNo, _: AccessFlags, reply: ReplyEmpty) {
        // Whoever gets this far may read everything: the kernel need not ask again.
        reply.error(Errno::ENOSYS);
    }
}

fn send_xattr(bytes: &[u8], size: u32, reply: ReplyXattr) {
    match u32::try_from(bytes.len()) {
        Ok(length) if size == 0 => reply.size(length),
        Ok(length) if length <= size => reply.data(bytes),
        _ => reply.error(Errno::ERANGE),
    }
}

/// How long the kernel may keep attributes.
fn attributes_last(attributes: &Attributes) -> Duration {
    match attributes.kind {
        _ if attributes.lasting => FOREVER,
        // More names of a file may come to light with each entry that is looked at.
        FileKind::Directory | FileKind::Symlink => A_MOMENT,
        _ => Duration::ZERO,
    }
}

/// What is open, by the number that the kernel knows it by.
struct Handles<T> {
    open: Mutex<HashMap<u64, Arc<T>>>,
    next: AtomicU64,
}

impl<T> Default for Handles<T> {
    fn default() -> Self {
        Self { open: Mutex::default(), next: AtomicU64::new(1) }
    }
}

impl<T> Handles<T> {
    fn add(&self, opened: T) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.open).insert(number, Arc::new(opened));
        FileHandle(number)
    }

    fn get(&self, handle: FileHandle) -> Option<Arc<T>> {
        lock(&self.open).get(&handle.0).cloned()
    }

    fn remove(&self, handle: FileHandle) {
        lock(&self.open).remove(&handle.0);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere is told, and leaves nothing half done under these locks.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
