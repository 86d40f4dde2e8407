//! Who may use a file or a folder: owners and access control lists, in safe functions.
#![expect(
    unsafe_code,
    reason = "neither std nor a well-kept crate reads or sets access control lists"
)]

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::os::windows::ffi::OsStrExt;
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};
use std::ptr::{null, null_mut};

use windows_sys::Win32::Foundation::{
    CloseHandle, ERROR_SUCCESS, GENERIC_ALL, GENERIC_READ, GENERIC_WRITE, HANDLE, LocalFree,
};
use windows_sys::Win32::Security::Authorization::{
    ConvertSidToStringSidW, ConvertStringSecurityDescriptorToSecurityDescriptorW,
    GetNamedSecurityInfoW, GetSecurityInfo, SDDL_REVISION_1, SE_FILE_OBJECT, SetSecurityInfo,
};
use windows_sys::Win32::Security::{
    ACCESS_ALLOWED_ACE, ACL, DACL_SECURITY_INFORMATION, EqualSid, GetAce,
    GetSecurityDescriptorDacl, GetTokenInformation, IsWellKnownSid, OWNER_SECURITY_INFORMATION,
    PROTECTED_DACL_SECURITY_INFORMATION, PSECURITY_DESCRIPTOR, PSID, SECURITY_ATTRIBUTES,
    TOKEN_QUERY, TOKEN_USER, TokenUser, WELL_KNOWN_SID_TYPE, WinAccountDomainUsersSid,
    WinAnonymousSid, WinAuthenticatedUserSid, WinBuiltinAdministratorsSid, WinBuiltinGuestsSid,
    WinBuiltinUsersSid, WinInteractiveSid, WinNetworkSid, WinWorldSid,
};
use windows_sys::Win32::Storage::FileSystem::{
    CreateDirectoryW, DELETE, FILE_APPEND_DATA, FILE_DELETE_CHILD, FILE_READ_DATA, FILE_WRITE_DATA,
    WRITE_DAC, WRITE_OWNER,
};
use windows_sys::Win32::System::SystemServices::{
    ACCESS_ALLOWED_ACE_TYPE, ACCESS_ALLOWED_CALLBACK_ACE_TYPE,
};
use windows_sys::Win32::System::Threading::{GetCurrentProcess, OpenProcessToken};

const MAY_WRITE: u32 = FILE_WRITE_DATA
    | FILE_APPEND_DATA
    | FILE_DELETE_CHILD
    | DELETE
    | WRITE_DAC
    | WRITE_OWNER
    | GENERIC_WRITE
    | GENERIC_ALL;
const MAY_READ_OR_WRITE: u32 = MAY_WRITE | FILE_READ_DATA | GENERIC_READ;

/// Groups that other users are in. Administrators may do anything.
const OTHERS: &[WELL_KNOWN_SID_TYPE] = &[
    WinWorldSid,
    WinAuthenticatedUserSid,
    WinBuiltinUsersSid,
    WinBuiltinGuestsSid,
    WinAnonymousSid,
    WinInteractiveSid,
    WinNetworkSid,
    WinAccountDomainUsersSid,
];

/// Creates a folder that nobody else can use.
pub fn create_private_folder(path: &Path) -> io::Result<()> {
    let descriptor = Descriptor::private()?;
    let attributes = SECURITY_ATTRIBUTES {
        nLength: u32::try_from(size_of::<SECURITY_ATTRIBUTES>()).unwrap_or_default(),
        lpSecurityDescriptor: descriptor.0,
        bInheritHandle: 0,
    };
    let path = wide(&of_any_length(path)?);
    // SAFETY: the path ends with NUL; path, attributes and descriptor live until the call returns.
    succeeded(unsafe { CreateDirectoryW(path.as_ptr(), &raw const attributes) })
}

/// Makes a file private; it must have been opened with the right to change its access control list.
pub fn make_private(file: &File) -> io::Result<()> {
    let descriptor = Descriptor::private()?;
    let (mut is_present, mut is_default, mut list) = (0, 0, null_mut());
    // SAFETY: the descriptor is valid, and the three places are this function's own.
    succeeded(unsafe {
        GetSecurityDescriptorDacl(
            descriptor.0,
            &raw mut is_present,
            &raw mut list,
            &raw mut is_default,
        )
    })?;
    let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
    // SAFETY: the handle is open; the list is part of the descriptor, which lives until the call returns.
    let code = unsafe {
        SetSecurityInfo(
            file.as_raw_handle(),
            SE_FILE_OBJECT,
            what,
            null_mut(),
            null_mut(),
            list,
            null(),
        )
    };
    known(code)
}

/// Who owns something, and who else may use it.
pub struct Access {
    owner: PSID,
    /// Null if everybody may do everything.
    list: *mut ACL,
    /// Holds both of them.
    _descriptor: Descriptor,
}

impl Access {
    pub fn of_path(path: &Path) -> io::Result<Self> {
        let path = wide(path);
        // SAFETY: the path ends with NUL and lives until the call returns.
        Self::read(|owner, list, descriptor| unsafe {
            let (kind, what) = (SE_FILE_OBJECT, Self::WHAT);
            let path = path.as_ptr();
            GetNamedSecurityInfoW(
                path,
                kind,
                what,
                owner,
                null_mut(),
                list,
                null_mut(),
                descriptor,
            )
        })
    }

    pub fn of_file(file: &File) -> io::Result<Self> {
        let handle = file.as_raw_handle();
        // SAFETY: the handle is open.
        Self::read(|owner, list, descriptor| unsafe {
            let (kind, what) = (SE_FILE_OBJECT, Self::WHAT);
            GetSecurityInfo(
                handle,
                kind,
                what,
                owner,
                null_mut(),
                list,
                null_mut(),
                descriptor,
            )
        })
    }

    const WHAT: u32 = OWNER_SECURITY_INFORMATION | DACL_SECURITY_INFORMATION;

    fn read(
        get: impl FnOnce(*mut PSID, *mut *mut ACL, *mut PSECURITY_DESCRIPTOR) -> u32,
    ) -> io::Result<Self> {
        let (mut owner, mut list, mut descriptor) = (null_mut(), null_mut(), null_mut());
        known(get(&raw mut owner, &raw mut list, &raw mut descriptor))?;
        Ok(Self {
            owner,
            list,
            _descriptor: Descriptor(descriptor),
        })
    }

    /// True if the user owns it, or administrators do: files that an administrator creates often belong to all of them.
    pub fn is_ours(&self) -> io::Result<bool> {
        // SAFETY: the owner is part of the descriptor.
        let is_administrators =
            unsafe { IsWellKnownSid(self.owner, WinBuiltinAdministratorsSid) } != 0;
        Ok(is_administrators || User::of_this_process()?.is(self.owner))
    }

    /// True if others may write to it, or delete something in it.
    pub fn others_may_write(&self) -> bool {
        self.grants_others(MAY_WRITE)
    }

    /// True if others may neither read nor write it.
    pub fn is_private(&self) -> bool {
        !self.grants_others(MAY_READ_OR_WRITE)
    }

    /// An inherit-only entry counts too: it applies to the files in the folder.
    fn grants_others(&self, rights: u32) -> bool {
        if self.list.is_null() {
            return true;
        }
        // SAFETY: the list is part of the descriptor.
        let count = u32::from(unsafe { (*self.list).AceCount });
        (0..count).any(|number| {
            let mut entry: *mut c_void = null_mut();
            // SAFETY: the list is part of the descriptor, and there is such an entry.
            if unsafe { GetAce(self.list, number, &raw mut entry) } == 0 {
                return true;
            }
            let entry = entry.cast::<ACCESS_ALLOWED_ACE>();
            // SAFETY: every kind of entry begins with this header.
            let kind = u32::from(unsafe { (*entry).Header.AceType });
            if !matches!(
                kind,
                ACCESS_ALLOWED_ACE_TYPE | ACCESS_ALLOWED_CALLBACK_ACE_TYPE
            ) {
                return false;
            }
            // SAFETY: entries of these kinds go on with the rights and a SID.
            let (granted, who) = unsafe { ((*entry).Mask, (&raw mut (*entry).SidStart).cast()) };
            granted & rights != 0 && is_of_others(who)
        })
    }
}

fn is_of_others(who: PSID) -> bool {
    // SAFETY: the caller's SID is part of a descriptor.
    OTHERS
        .iter()
        .any(|group| unsafe { IsWellKnownSid(who, *group) } != 0)
}

/// The user that this process runs as, as Windows describes a token's. In a box, because it points into itself.
struct User(Box<[u64; 16]>);

impl User {
    fn of_this_process() -> io::Result<Self> {
        let mut token: HANDLE = null_mut();
        // SAFETY: the place for the handle is this function's own.
        succeeded(unsafe { OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &raw mut token) })?;
        // The structure has 16 bytes, and its SID 68 at most.
        let mut answer = Box::new([0_u64; 16]);
        let mut length = u32::try_from(size_of_val(&*answer)).unwrap_or_default();
        // SAFETY: the token is open, and the place for the answer has this length.
        let result = succeeded(unsafe {
            GetTokenInformation(
                token,
                TokenUser,
                answer.as_mut_ptr().cast(),
                length,
                &raw mut length,
            )
        });
        // SAFETY: the handle is this function's own.
        unsafe { CloseHandle(token) };
        result.map(|()| Self(answer))
    }

    fn sid(&self) -> PSID {
        // SAFETY: the box holds this structure.
        unsafe { (*self.0.as_ptr().cast::<TOKEN_USER>()).User.Sid }
    }

    fn is(&self, sid: PSID) -> bool {
        // SAFETY: the user's SID is in the box; the other is part of a descriptor.
        unsafe { EqualSid(self.sid(), sid) != 0 }
    }

    /// The SID as text: `S-1-5-21-...`.
    fn text(&self) -> io::Result<String> {
        let mut text = null_mut();
        // SAFETY: the SID is in the box, and the place for the text is this function's own.
        succeeded(unsafe { ConvertSidToStringSidW(self.sid(), &raw mut text) })?;
        // SAFETY: Windows wrote a text that ends with NUL, and nobody else frees it.
        unsafe {
            let mut length = 0;
            while *text.add(length) != 0 {
                length += 1;
            }
            let written = String::from_utf16_lossy(std::slice::from_raw_parts(text, length));
            LocalFree(text.cast());
            Ok(written)
        }
    }
}

/// A security descriptor that Windows allocated.
struct Descriptor(PSECURITY_DESCRIPTOR);

impl Descriptor {
    /// Everything for this user, the system and administrators, and nothing for anybody else; for what is created in a
    /// folder, too. Nothing is inherited from the folder above. The user is the owner, even when an administrator.
    fn private() -> io::Result<Self> {
        let user = User::of_this_process()?.text()?;
        let text = format!("O:{user}D:P(A;OICI;FA;;;{user})(A;OICI;FA;;;SY)(A;OICI;FA;;;BA)");
        let text = wide(Path::new(&text));
        let mut descriptor = null_mut();
        // SAFETY: the text ends with NUL, and the place for the descriptor is this function's own.
        succeeded(unsafe {
            ConvertStringSecurityDescriptorToSecurityDescriptorW(
                text.as_ptr(),
                SDDL_REVISION_1,
                &raw mut descriptor,
                null_mut(),
            )
        })?;
        Ok(Self(descriptor))
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: Windows allocated it, and nobody else frees it.
        unsafe { LocalFree(self.0) };
    }
}

/// The same path in the form that may be longer than 260 characters, as std writes it.
fn of_any_length(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    let text = path.as_os_str().to_string_lossy();
    Ok(match text.as_bytes().get(1) {
        Some(b':') => format!(r"\\?\{text}").into(),
        _ => path,
    })
}

pub fn wide(path: &Path) -> Vec<u16> {
    path.as_os_str().encode_wide().chain([0]).collect()
}

fn succeeded(result: i32) -> io::Result<()> {
    match result {
        0 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

fn known(code: u32) -> io::Result<()> {
    match code {
        ERROR_SUCCESS => Ok(()),
        code => Err(io::Error::from_raw_os_error(code.cast_signed())),
    }
}
