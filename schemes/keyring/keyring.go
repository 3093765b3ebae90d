// Package keyring holds an installation's secrets as files, by reference: the
// directory names a participant's key, and the keyring has it.
//
//	DIR/creds/<participant>.nk     NKey user seed of a participant
//	DIR/creds/code-digest.key      32 bytes, hex: the secret of Digest
//
// Every file has mode 0600 and the folder 0700; a file that others can read is
// refused, and so is a folder that they can write to. Nothing here prints a secret.
package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"
	tongma "github.com/tongma/tongma"
)

const (
	credsFolder = "creds"
	seedSuffix  = ".nk"
	digestFile  = "code-digest.key"
	maxFile     = 4 << 10
)

// Keyring is an open folder of secrets. It is safe for concurrent use, and by
// several processes at once.
type Keyring struct {
	creds string
	*Digester
}

// Open opens the keyring of an installation's folder, and makes it and its
// digest secret if they are missing.
func Open(dir string) (*Keyring, error) {
	creds := filepath.Join(dir, credsFolder)
	if err := os.MkdirAll(creds, 0o700); err != nil {
		return nil, failed("open", err)
	}
	info, err := os.Stat(creds)
	if err != nil {
		return nil, failed("open", err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, failed("open", fmt.Errorf("mode %04o of folder %s lets others replace secrets; set it to 0700", info.Mode().Perm(), credsFolder))
	}
	k := &Keyring{creds: creds}
	secret, err := k.digestSecret()
	if err != nil {
		return nil, failed("open "+digestFile, err)
	}
	if k.Digester, err = NewDigester(secret); err != nil {
		return nil, failed("open "+digestFile, err)
	}
	return k, nil
}

// String shows where the keyring is and nothing of what it holds.
func (k *Keyring) String() string { return "keyring " + k.creds + " (secrets masked)" }

// GoString is String, so that %#v is masked too.
func (k *Keyring) GoString() string { return k.String() }

// Format masks every verb.
func (k *Keyring) Format(w fmt.State, _ rune) { io.WriteString(w, k.String()) }

// Key is a participant's NKey user. Its seed stays inside; printing it shows the
// public key.
type Key struct {
	pair   nkeys.KeyPair
	public string
}

// Generate returns the key of a participant, and makes one if there is none. Two
// processes that do so at once get the same key.
func (k *Keyring) Generate(id tongma.ParticipantID) (*Key, error) {
	path, err := k.path(id)
	if err != nil {
		return nil, err
	}
	if key, err := load(path); !errors.Is(err, os.ErrNotExist) {
		return key, wrap("key of "+string(id), err)
	}
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, failed("key of "+string(id), err)
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return nil, failed("key of "+string(id), err)
	}
	defer clear(seed)
	if err := createOnce(k.creds, filepath.Base(path), append(bytes.Clone(seed), '\n')); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, failed("key of "+string(id), err)
	}
	return k.Load(id)
}

// Load returns the key of a participant. It fails if there is none, if others
// can read its file, and if the file holds something else than a user's seed.
func (k *Keyring) Load(id tongma.ParticipantID) (*Key, error) {
	path, err := k.path(id)
	if err != nil {
		return nil, err
	}
	key, err := load(path)
	return key, wrap("key of "+string(id), err)
}

// Path returns the file that holds a participant's seed, for NATS clients that
// take a file.
func (k *Keyring) Path(id tongma.ParticipantID) (string, error) { return k.path(id) }

// Participants returns whose keys the keyring holds, in order.
func (k *Keyring) Participants() ([]tongma.ParticipantID, error) {
	entries, err := os.ReadDir(k.creds)
	if err != nil {
		return nil, failed("list", err)
	}
	var ids []tongma.ParticipantID
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), seedSuffix)
		if id := tongma.ParticipantID(name); ok && validName(id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// validName lets the switch itself ("switch" is no participant's id, since
// subjects use it) have a key beside the participants.
func validName(id tongma.ParticipantID) bool { return tongma.SchemeID(id).Valid() }

func (k *Keyring) path(id tongma.ParticipantID) (string, error) {
	if !validName(id) {
		return "", failed("key", errors.New("not a participant's id"))
	}
	return filepath.Join(k.creds, string(id)+seedSuffix), nil
}

func load(path string) (*Key, error) {
	seed, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	defer clear(seed)
	pair, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, errors.New("the file holds no NKey seed")
	}
	public, err := pair.PublicKey()
	if err != nil || !nkeys.IsValidPublicUserKey(public) {
		return nil, errors.New("the file holds the seed of something else than a user")
	}
	return &Key{pair: pair, public: public}, nil
}

// PublicKey returns the public NKey, "U" and 55 characters.
func (k *Key) PublicKey() string { return k.public }

// Sign signs a server's nonce. Its form is that of nats.SignatureHandler.
func (k *Key) Sign(nonce []byte) ([]byte, error) { return k.pair.Sign(nonce) }

// String shows the public key.
func (k *Key) String() string { return k.public }

// Format shows the public key, whatever the verb.
func (k *Key) Format(w fmt.State, _ rune) { io.WriteString(w, k.public) }

// digestSecret reads the installation's digest secret, and makes it once.
func (k *Keyring) digestSecret() ([]byte, error) {
	path := filepath.Join(k.creds, digestFile)
	text, err := readSecret(path)
	if errors.Is(err, os.ErrNotExist) {
		var fresh [SecretSize]byte
		rand.Read(fresh[:])
		if err := createOnce(k.creds, digestFile, append(hex.AppendEncode(nil, fresh[:]), '\n')); err != nil && !errors.Is(err, os.ErrExist) {
			return nil, err
		}
		text, err = readSecret(path)
	}
	if err != nil {
		return nil, err
	}
	secret, err := hex.AppendDecode(nil, bytes.TrimSpace(text))
	if err != nil || len(secret) != SecretSize {
		return nil, fmt.Errorf("the file must hold %d bytes in hex; a new secret would make every spent code look unspent, so restore the old one", SecretSize)
	}
	return secret, nil
}

// readSecret reads a small regular file that only its owner can read.
func readSecret(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a plain file")
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("mode %04o lets others at the secret; set it to 0600", info.Mode().Perm())
	case info.Size() > maxFile:
		return nil, fmt.Errorf("is longer than %d bytes", maxFile)
	}
	return io.ReadAll(io.LimitReader(f, maxFile))
}

// createOnce puts a secret in place whole, mode 0600, or fails with os.ErrExist.
// A crash leaves either nothing or all of it (the file gets its name only after
// its bytes are on disk).
func createOnce(dir, name string, content []byte) error {
	temp, err := os.CreateTemp(dir, ".making-*")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(content)
	err = errors.Join(err, temp.Sync(), temp.Close())
	if err != nil {
		return err
	}
	if err := os.Link(temp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func failed(op string, err error) error {
	return &tongma.Error{Op: "keyring: " + op, Reason: tongma.SetupInvalid, Err: err}
}

func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return failed(op, err)
}
