package native

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tongma/tongma"
)

// DefaultKeep is how long a store remembers at least: longer than any scheme
// lets a payment be reversed.
const DefaultKeep = 7 * 24 * time.Hour

// MemoryStore remembers while the process lives: for tests, sandboxes and wallets
// that are idempotent by themselves after a crash.
type MemoryStore struct {
	keep time.Duration
	now  func() time.Time

	mu       sync.RWMutex // guards what follows; nothing is taken while it is held
	revision uint64       // the latest that was given
	current  map[Key]Record
	previous map[Key]Record
	since    time.Time // when current was begun
}

// NewMemoryStore returns an empty store that remembers for at least keep and at
// most twice as long. Zero: DefaultKeep. A nil now is time.Now.
func NewMemoryStore(keep time.Duration, now func() time.Time) *MemoryStore {
	if keep <= 0 {
		keep = DefaultKeep
	}
	if now == nil {
		now = time.Now
	}
	return &MemoryStore{keep: keep, now: now, current: make(map[Key]Record), since: now()}
}

// Get implements Store. It does not fail.
func (s *MemoryStore) Get(k Key) (Record, bool, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	r, ok := s.get(k)
	return r, ok, nil
}

func (s *MemoryStore) get(k Key) (Record, bool) {
	if r, ok := s.current[k]; ok {
		return r, true
	}
	r, ok := s.previous[k]
	return r, ok
}

// has tells whether what is kept under a key has a revision; zero: that nothing is.
func (s *MemoryStore) has(k Key, revision uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	kept, _ := s.get(k)
	return kept.Revision == revision
}

// PutIf implements Store. It fails with ErrChanged only, and survives nothing.
func (s *MemoryStore) PutIf(k Key, r Record) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, _ := s.get(k); kept.Revision != r.Revision {
		return 0, ErrChanged
	}
	return s.put(k, r), nil
}

// put is set, once what is too old has been forgotten.
func (s *MemoryStore) put(k Key, r Record) uint64 {
	if now := s.now(); now.Sub(s.since) >= s.keep {
		s.turn(now)
	}
	return s.set(k, r)
}

// set keeps a record in place of whatever there is.
func (s *MemoryStore) set(k Key, r Record) uint64 {
	s.revision++
	r.Revision = s.revision
	s.current[k] = r
	return r.Revision
}

// Delete implements Store.
func (s *MemoryStore) Delete(k Key, revision uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if kept, _ := s.get(k); kept.Revision != revision {
		return ErrChanged
	}
	s.drop(k)
	return nil
}

func (s *MemoryStore) drop(k Key) {
	delete(s.current, k)
	delete(s.previous, k)
}

// turn forgets the older half.
func (s *MemoryStore) turn(now time.Time) {
	s.previous, s.current, s.since = s.current, make(map[Key]Record), now
}

// FileStore remembers across crashes of process and machine: PutIf returns when
// the record is on the disk. Records that arrive together share one fsync.
//
// It is a folder of append-only files, one for each period of keep, of which the
// last two are kept. A line is eight hexadecimal digits of CRC-32C, a space, a
// JSON object and a newline. A torn last line is cut off when the folder is
// opened; any other damage is an error that says where. A failed write or fsync
// ends the store: from then on every PutIf fails, until the process is restarted
// on a good disk. One process at a time may use a folder.
type FileStore struct {
	dir    string
	memory *MemoryStore

	mu       sync.Mutex // guards what follows; memory's lock may be taken while it is held, and it is let go while writing
	changed  *sync.Cond
	file     *os.File
	began    time.Time // of file
	pending  []byte    // lines not written yet
	spare    []byte
	queued   uint64 // lines ever added to pending
	durable  uint64 // lines that are on the disk
	flushing bool
	claimed  map[Key]struct{} // of which a line is on its way: what is kept of them is about to change
	err      error
}

// ErrStoreClosed is given by a FileStore after Close.
var ErrStoreClosed = errors.New("native: store is closed")

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// OpenFileStore opens the folder, making it if need be, and reads what it holds.
// It remembers for at least keep; zero: DefaultKeep. A nil now is time.Now.
func OpenFileStore(dir string, keep time.Duration, now func() time.Time) (*FileStore, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &FileStore{dir: dir, memory: NewMemoryStore(keep, now), claimed: make(map[Key]struct{})}
	s.changed = sync.NewCond(&s.mu)
	names, err := s.files()
	if err != nil {
		return nil, err
	}
	for i, name := range names {
		if i > 0 {
			s.memory.turn(began(name))
		}
		if err := s.read(name, i == len(names)-1); err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		return s, s.begin(s.memory.now())
	}
	last := names[len(names)-1]
	s.began, s.memory.since = began(last), began(last)
	s.file, err = os.OpenFile(filepath.Join(dir, last), os.O_WRONLY|os.O_APPEND, 0o600)
	return s, err
}

// files returns the names of the log files, oldest first.
func (s *FileStore) files() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if !began(e.Name()).IsZero() {
			names = append(names, e.Name())
		}
	}
	sort.Slice(names, func(i, j int) bool { return began(names[i]).Before(began(names[j])) })
	return names, nil
}

// began returns when a file was begun, from its name "seen-<Unix milliseconds>.log".
func began(name string) time.Time {
	digits, _ := strings.CutSuffix(strings.TrimPrefix(name, "seen-"), ".log")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || name != "seen-"+digits+".log" {
		return time.Time{}
	}
	return time.UnixMilli(n)
}

// begin starts a new file, and deletes all but the one before it.
func (s *FileStore) begin(now time.Time) error {
	name := fmt.Sprintf("seen-%d.log", now.UnixMilli())
	f, err := os.OpenFile(filepath.Join(s.dir, name), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if err := syncDir(s.dir); err != nil {
		return errors.Join(err, f.Close())
	}
	if s.file != nil {
		_ = s.file.Close() // everything in it is on the disk
	}
	s.file, s.began = f, now
	names, err := s.files()
	if err != nil {
		return err
	}
	for len(names) > 2 {
		if err := os.Remove(filepath.Join(s.dir, names[0])); err != nil {
			return err
		}
		names = names[1:]
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// read takes in one file. If it is the last one, a torn end is cut off: nobody was
// told that it is stored.
func (s *FileStore) read(name string, last bool) error {
	path := filepath.Join(s.dir, name)
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // read only
	in := bufio.NewReaderSize(f, 64<<10)
	var offset int64
	for {
		line, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		key, record, gone, bad := parseLine(line)
		if bad != nil {
			if last && line[len(line)-1] != '\n' {
				return truncate(path, offset)
			}
			return fmt.Errorf("native: %s at byte %d: %w", name, offset, bad)
		}
		if gone {
			s.memory.drop(key)
		} else {
			s.memory.set(key, record)
		}
		offset += int64(len(line))
	}
}

func truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Truncate(size), f.Sync(), f.Close())
}

// storeLine is a line of the file.
type storeLine struct {
	Op       string           `json:"op"`
	Payment  tongma.PaymentID `json:"payment"`
	Amount   *tongma.Money    `json:"amount,omitempty"`
	Original tongma.PaymentID `json:"original,omitzero"`
	Until    int64            `json:"until,omitempty"` // Unix milliseconds
	Answer   json.RawMessage  `json:"answer,omitempty"`
	Gone     bool             `json:"gone,omitempty"`
}

func appendLine(b []byte, k Key, r Record, gone bool) []byte {
	l := storeLine{Op: k.Op.String(), Payment: k.Payment, Original: r.Original, Gone: gone}
	if r.Amount != (tongma.Money{}) {
		l.Amount = &r.Amount
	}
	if !r.Done && !r.Until.IsZero() {
		l.Until = r.Until.UnixMilli()
	}
	if r.Done {
		l.Answer = r.Answer.AppendJSON(nil)
	}
	text, _ := json.Marshal(&l) // the answer is JSON of our own making: cannot fail
	b = fmt.Appendf(b, "%08x ", crc32.Checksum(text, castagnoli))
	return append(append(b, text...), '\n')
}

var errLine = errors.New("damaged record")

func parseLine(line []byte) (k Key, r Record, gone bool, err error) {
	text, ended := bytes.CutSuffix(line, []byte{'\n'})
	if !ended || len(text) < 9 || text[8] != ' ' {
		return k, r, false, errLine
	}
	sum, err := strconv.ParseUint(string(text[:8]), 16, 32)
	if err != nil || uint32(sum) != crc32.Checksum(text[9:], castagnoli) {
		return k, r, false, errLine
	}
	var l storeLine
	if err := json.Unmarshal(text[9:], &l); err != nil {
		return k, r, false, errors.Join(errLine, err)
	}
	op, ok := tongma.ParseOperation(l.Op)
	if !ok {
		return k, r, false, errLine
	}
	k, r.Original = Key{op, l.Payment}, l.Original
	if l.Amount != nil {
		r.Amount = *l.Amount
	}
	if l.Until != 0 {
		r.Until = time.UnixMilli(l.Until)
	}
	if l.Answer != nil {
		r.Done = true
		r.Answer, err = tongma.ParseAnswer(l.Answer)
	}
	return k, r, l.Gone, err
}

// Get implements Store. It does not fail.
func (s *FileStore) Get(k Key) (Record, bool, error) { return s.memory.Get(k) }

// PutIf implements Store. When it returns nil, the record survives a crash.
func (s *FileStore) PutIf(k Key, r Record) (revision uint64, err error) {
	err = s.change(k, r.Revision, appendLine(nil, k, r, false), func(m *MemoryStore) { revision = m.put(k, r) })
	return revision, err
}

// Delete implements Store.
func (s *FileStore) Delete(k Key, revision uint64) error {
	return s.change(k, revision, appendLine(nil, k, Record{}, true), func(m *MemoryStore) { m.drop(k) })
}

// change writes a line, if what is kept under the key has the revision that it comes
// behind, and then has the change seen. Others of the same key wait meanwhile.
func (s *FileStore) change(k Key, revision uint64, line []byte, seen func(*MemoryStore)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for taken := true; taken; {
		if _, taken = s.claimed[k]; taken {
			s.changed.Wait()
		}
	}
	if s.err != nil {
		return s.err
	}
	if !s.memory.has(k, revision) {
		return ErrChanged
	}
	s.claimed[k] = struct{}{}
	defer func() { delete(s.claimed, k); s.changed.Broadcast() }()
	if err := s.write(line); err != nil {
		return err
	}
	s.memory.mu.Lock()
	defer s.memory.mu.Unlock()
	seen(s.memory)
	return nil
}

// write returns when the line is on the disk, letting the lock go meanwhile. Whoever
// finds nobody writing writes for all who came since.
func (s *FileStore) write(line []byte) error {
	s.pending = append(s.pending, line...)
	s.queued++
	mine := s.queued
	for s.durable < mine && s.err == nil {
		if s.flushing {
			s.changed.Wait()
			continue
		}
		s.flush()
	}
	if s.durable < mine {
		return s.err
	}
	return nil
}

// flush writes and syncs all pending lines, letting the lock go meanwhile.
func (s *FileStore) flush() {
	lines, upTo := s.pending, s.queued
	s.pending, s.flushing = s.spare[:0], true
	s.mu.Unlock()
	err := s.store(lines)
	s.mu.Lock()
	s.spare, s.flushing = lines, false
	if err != nil {
		s.err = err // what reached the disk is not known, and asking fsync again would lie
	} else {
		s.durable = upTo
	}
	s.changed.Broadcast()
}

// store is called by one goroutine at a time.
func (s *FileStore) store(lines []byte) error {
	if now := s.memory.now(); now.Sub(s.began) >= s.memory.keep {
		if err := s.begin(now); err != nil {
			return err
		}
	}
	if _, err := s.file.Write(lines); err != nil {
		return err
	}
	return s.file.Sync()
}

// Close ends the store. What was put before is on the disk.
func (s *FileStore) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.flushing {
		s.changed.Wait()
	}
	if s.err == nil {
		s.err = ErrStoreClosed
		return s.file.Close()
	}
	return nil
}
