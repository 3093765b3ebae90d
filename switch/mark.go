package switching

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Mark remembers up to which entry all events have been published, so that the
// next writer need not look through the whole journal for some that were not. It
// may be behind, and never ahead.
type Mark interface {
	// Load returns the mark; 0 if there is none.
	Load(ctx context.Context) (uint64, error)
	// Save moves it. What is saved often may be kept now and then only.
	Save(ctx context.Context, entry uint64) error
}

type noMark struct{}

func (noMark) Load(context.Context) (uint64, error) { return 0, nil }
func (noMark) Save(context.Context, uint64) error   { return nil }

// fileMark is a mark in a switch's own folder.
type fileMark string

// NewFileMark keeps the mark in dir, for a switch that has its journal to itself.
func NewFileMark(dir string) Mark { return fileMark(filepath.Join(dir, "outbox.mark")) }

func (m fileMark) Load(context.Context) (uint64, error) {
	data, err := os.ReadFile(string(m))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	n, _ := strconv.ParseUint(string(data), 10, 64) // what is no number says nothing
	return n, err
}

func (m fileMark) Save(_ context.Context, entry uint64) error {
	tmp := string(m) + ".tmp"
	if err := os.WriteFile(tmp, strconv.AppendUint(nil, entry, 10), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, string(m))
}

// streamMark is a mark that all switches of a journal share: the one message of a
// stream beside it.
type streamMark struct {
	js       jetstream.JetStream
	name     string
	subject  string
	replicas int
	saved    time.Time // one goroutine saves
}

const saveEvery = time.Second // each message is a synced write

// NewStreamMark keeps the mark in a stream of one message. nc is of the account
// that keeps the journal, so that nobody but switches can move it.
func NewStreamMark(nc *nats.Conn, name, subject string, replicas int) (Mark, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	return &streamMark{js: js, name: name, subject: subject, replicas: max(replicas, 1)}, nil
}

func (m *streamMark) open(ctx context.Context) (jetstream.Stream, error) {
	stream, err := m.js.Stream(ctx, m.name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = m.js.CreateStream(ctx, jetstream.StreamConfig{Name: m.name, Subjects: []string{m.subject}, Storage: jetstream.FileStorage,
			MaxMsgs: 1, Discard: jetstream.DiscardOld, Replicas: m.replicas, Description: "Tongma: up to which entry events have been published"})
	}
	if err != nil {
		return nil, fmt.Errorf("switch: stream %s: %w", m.name, err)
	}
	return stream, nil
}

func (m *streamMark) Load(ctx context.Context) (uint64, error) {
	stream, err := m.open(ctx)
	if err != nil {
		return 0, err
	}
	last, err := stream.GetLastMsgForSubject(ctx, m.subject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	n, _ := strconv.ParseUint(string(last.Data), 10, 64)
	return n, nil
}

func (m *streamMark) Save(ctx context.Context, entry uint64) error {
	if time.Since(m.saved) < saveEvery {
		return nil
	}
	m.saved = time.Now()
	_, err := m.js.Publish(ctx, m.subject, strconv.AppendUint(nil, entry, 10))
	return err
}
