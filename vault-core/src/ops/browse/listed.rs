//! Open directories, and what a listing tells of each entry: those of a snapshot, and those above the snapshots.
//!
//! An entry that a listing comes to is not referred to until the front end says so.

use std::sync::Arc;

use crate::format::tree::Entry;

use super::directory::{Directory, Listing};
use super::inodes::{Attributes, FileKind, Inode, attributes_of, number_of, number_of_root};
use super::shelf::{Item, Virtual};
use super::{BrowseError, Browser, Found, directory_of};

/// An open directory.
pub struct OpenDirectory {
    parent: Inode,
    contents: OpenContents,
}

enum OpenContents {
    /// A directory in no snapshot, as it was when it was opened.
    Shelf(Vec<(Vec<u8>, Item)>),
    Stored(Listing),
}

/// An entry of an open directory, as a listing comes to it.
pub struct Listed<'l> {
    browser: &'l Browser,
    /// Its name.
    pub name: &'l [u8],
    /// Where the listing goes on after it.
    pub next: u64,
    what: ListedItem<'l>,
}

enum ListedItem<'l> {
    Shelf(&'l Item),
    Entry(&'l Arc<Directory>, &'l Entry),
}

impl Browser {
    /// Opens a directory.
    pub fn open_directory(&self, inode: Inode) -> Result<OpenDirectory, BrowseError> {
        Ok(match self.found(inode)? {
            Found::Virtual(of) if of.is_link() => return Err(BrowseError::OtherKind),
            Found::Virtual(of) => {
                OpenDirectory { parent: of.parent(), contents: OpenContents::Shelf(self.shelf().items(&of)) }
            }
            Found::Stored(node) => {
                let directory = Arc::clone(directory_of(&node)?);
                let outside = if self.root.is_some() { Inode::ROOT } else { Virtual::ByDate.inode() };
                let parent = directory.parent.as_ref().map_or(outside, |parent| Inode(parent.inode));
                OpenDirectory { parent, contents: OpenContents::Stored(Listing::new(directory)) }
            }
        })
    }

    /// Lists an open directory from a position on, 0 being the first, until `visit` returns false or there is no more.
    pub fn list(
        &self,
        directory: &OpenDirectory,
        position: u64,
        visit: &mut dyn FnMut(&Listed<'_>) -> bool,
    ) -> Result<(), BrowseError> {
        match &directory.contents {
            OpenContents::Shelf(items) => {
                let first = usize::try_from(position).unwrap_or(usize::MAX);
                for (at, (name, item)) in items.iter().enumerate().skip(first) {
                    let what = ListedItem::Shelf(item);
                    if !visit(&Listed { browser: self, name, next: at as u64 + 1, what }) {
                        break;
                    }
                }
                Ok(())
            }
            OpenContents::Stored(listing) => {
                Ok(listing.visit(&self.source, position, &mut |entry, next| {
                    let what = ListedItem::Entry(listing.directory(), entry);
                    visit(&Listed { browser: self, name: &entry.name, next, what })
                })?)
            }
        }
    }
}

impl Listed<'_> {
    /// The number and kind that it has as long as nobody refers to it.
    pub fn peek(&self) -> (Inode, FileKind) {
        match self.what {
            ListedItem::Shelf(Item::Virtual(of)) if of.is_link() => (of.inode(), FileKind::Symlink),
            ListedItem::Shelf(Item::Virtual(of)) => (of.inode(), FileKind::Directory),
            ListedItem::Shelf(Item::Snapshot(shown)) => (number_of_root(&shown.info.id), FileKind::Directory),
            ListedItem::Entry(directory, entry) => {
                let attributes = attributes_of(entry, number_of(directory, entry));
                (attributes.inode, attributes.kind)
            }
        }
    }

    /// Counts a reference to it, as [`Browser::look_up`] does.
    pub fn refer(&self) -> Attributes {
        match self.what {
            ListedItem::Shelf(item) => self.browser.refer_to_item(item),
            ListedItem::Entry(directory, entry) => self.browser.refer_to_entry(directory, entry),
        }
    }
}

impl OpenDirectory {
    /// The directory that it is in.
    pub fn parent(&self) -> Inode {
        self.parent
    }
}
