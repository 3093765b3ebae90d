package schemes

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	tongma "github.com/tongma/tongma"
)

// Registry holds every version of the directory so far. It is safe for
// concurrent use; Current and At take no lock.
type Registry struct {
	dir string // "" for a registry in memory
	// mu is held by Add alone, from choosing the next number until that version is
	// on disk and seen by readers.
	mu   sync.Mutex
	seen atomic.Pointer[history]
}

// history is what readers see: versions 1, 2, 3 … and the seal of the last.
type history struct {
	versions []*Directory
	seal     seal
}

// seal chains a version to all before it: SHA-256 over the seal before, the
// number, and the hash of the source. The first line of each file carries it, so
// a changed byte, and a version replaced or reordered, is seen when the registry
// is opened. Against someone who rewrites every file there are the hashes that
// the journal's batches name.
type seal [32]byte

func (s seal) next(version uint64, source [32]byte) seal {
	var b [72]byte
	copy(b[:32], s[:])
	binary.BigEndian.PutUint64(b[32:40], version)
	copy(b[40:], source[:])
	return sha256.Sum256(b[:])
}

const sealPrefix = "# tongma directory "

func (s seal) line(version uint64) string {
	return fmt.Sprintf("%s%06d seal %x\n", sealPrefix, version, s[:])
}

// NewMemoryRegistry holds the given versions in memory. They must be numbered 1,
// 2, 3 …; those from the first that is not are left out.
func NewMemoryRegistry(versions ...*Directory) *Registry {
	r := &Registry{}
	h := &history{}
	for i, d := range versions {
		if d == nil || d.version != uint64(i)+1 {
			break
		}
		h = h.with(d)
	}
	r.seen.Store(h)
	return r
}

func (h *history) with(d *Directory) *history {
	n := len(h.versions)
	return &history{versions: append(h.versions[:n:n], d), seal: h.seal.next(d.version, d.hash)}
}

// OpenRegistry reads all versions that a folder holds as 000001.yaml, 000002.yaml
// and so on, and makes the folder if there is none. A version that is missing,
// changed, or no longer parses is an error that names the file: payments were
// routed by it, and guessing at it would rewrite their past. What an interrupted
// Add left behind has another name and is not looked at.
func OpenRegistry(dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, failed("open registry", "", err)
	}
	names, err := versionFiles(dir)
	if err != nil {
		return nil, failed("open registry", "", err)
	}
	h := &history{}
	for i, name := range names {
		if want := fileName(uint64(i) + 1); name != want {
			return nil, failed("open registry", want, errors.New("this version is missing"))
		}
		if h, err = h.load(filepath.Join(dir, name)); err != nil {
			return nil, failed("open registry", name, err)
		}
	}
	r := &Registry{dir: dir}
	r.seen.Store(h)
	return r, nil
}

func fileName(version uint64) string { return fmt.Sprintf("%06d.yaml", version) }

func versionFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		digits, ok := strings.CutSuffix(e.Name(), ".yaml")
		if ok && len(digits) >= 6 && allDigits(digits) {
			names = append(names, e.Name())
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return names, nil
}

// load reads the next version and checks its seal.
func (h *history) load(path string) (*history, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > MaxSource+256 {
		return nil, fmt.Errorf("is longer than %d bytes", MaxSource)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	version := uint64(len(h.versions)) + 1
	first, source, ok := bytes.Cut(content, []byte("\n"))
	if !ok || !bytes.HasPrefix(first, []byte(sealPrefix)) {
		return nil, errors.New("has no seal on its first line")
	}
	want := h.seal.next(version, sha256.Sum256(source))
	if string(first)+"\n" != want.line(version) {
		return nil, fmt.Errorf("its seal does not match its content: it was changed after it was added (content calls for %s…)", hex.EncodeToString(want[:4]))
	}
	d, err := Parse(version, source)
	if err != nil {
		return nil, err
	}
	return h.with(d), nil
}

// Add parses the next version, writes it to disk, and makes it the current one.
// The same bytes as the current version add nothing, and give that version back.
// On error nothing has changed, except after a failed fsync, when the version may
// be found on disk by the next OpenRegistry.
func (r *Registry) Add(source []byte) (*Directory, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.seen.Load()
	if n := len(h.versions); n > 0 && h.versions[n-1].hash == sha256.Sum256(source) {
		return h.versions[n-1], nil
	}
	d, err := Parse(uint64(len(h.versions))+1, source)
	if err != nil {
		return nil, err
	}
	next := h.with(d)
	if r.dir != "" {
		name := fileName(d.version)
		if err := writeOnce(r.dir, name, append([]byte(next.seal.line(d.version)), source...)); err != nil {
			return nil, failed("add version", name, err)
		}
	}
	r.seen.Store(next)
	return d, nil
}

// Current returns the newest version, or nil if there is none. It is one atomic
// load.
func (r *Registry) Current() *Directory {
	h := r.seen.Load()
	if len(h.versions) == 0 {
		return nil
	}
	return h.versions[len(h.versions)-1]
}

// At returns a version by its number.
func (r *Registry) At(version uint64) (*Directory, bool) {
	h := r.seen.Load()
	if version == 0 || version > uint64(len(h.versions)) {
		return nil, false
	}
	return h.versions[version-1], true
}

// Versions returns the numbers of all versions, in order.
func (r *Registry) Versions() []uint64 {
	numbers := make([]uint64, len(r.seen.Load().versions))
	for i := range numbers {
		numbers[i] = uint64(i) + 1
	}
	return numbers
}

func failed(op, file string, err error) error {
	return &tongma.Error{Op: "directory: " + op, Reason: tongma.Internal, Field: file, Err: err}
}
