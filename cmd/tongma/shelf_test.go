package main

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"testing"

	"github.com/tongma/tongma/schemes"
)

// grown is the sandbox's directory with a comment that makes it another one, so large
// that it takes several messages.
func grown(n int) []byte {
	return append(schemes.Sandbox(), fmt.Sprintf("# %d %s\n", n, bytes.Repeat([]byte("x"), maxChunk))...)
}

// TestASuccessorFindsTheDirectoryOfAWriterThatIsGone: the writer brought in a new
// version and died before any other switch had seen it. Who never had any version, and
// who had an older one, takes over with it all the same.
func TestASuccessorFindsTheDirectoryOfAWriterThatIsGone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	data := t.TempDir()
	registry, err := schemes.OpenRegistry(filepath.Join(data, "directory"))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 3 {
		if _, err := registry.Add(grown(n)); err != nil {
			t.Fatal(err)
		}
	}
	first, err := newNode(ctx, nodeConfig{data: data, natsListen: "127.0.0.1:0", admit: true, directory: grown(3), sandbox: true, logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	first.leaveOffice() // its NATS stays
	for older := range 2 {
		cfg := second(t, first)
		if older > 0 {
			registry, err := schemes.OpenRegistry(filepath.Join(cfg.data, "directory"))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := registry.Add(grown(0)); err != nil {
				t.Fatal(err)
			}
		}
		n, err := newNode(ctx, cfg)
		if err != nil {
			t.Fatal(err)
		}
		if d := n.registry.Current(); d.Version() != 4 || d.Hash() != first.registry.Current().Hash() {
			t.Errorf("directory version %d in force, hash %x", d.Version(), d.Hash())
		}
		n.Close()
	}
}

// TestNothingElseIsTakenForADirectory: what lies on the shelf under a hash that is not
// its own, or not whole, is not there.
func TestNothingElseIsTakenForADirectory(t *testing.T) {
	t.Parallel()
	first, err := newNode(t.Context(), nodeConfig{data: t.TempDir(), natsListen: "127.0.0.1:0", admit: true, directory: grown(0), sandbox: true, logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	s, err := openShelf(t.Context(), first.office.nc, 1)
	if err != nil {
		t.Fatal(err)
	}
	kept := first.registry.Current()
	if source, _, err := s.read(t.Context(), kept.Hash()); err != nil || !bytes.Equal(source, kept.Source()) {
		t.Fatalf("%d bytes, %v", len(source), err)
	}
	other := schemes.NewMemoryRegistry()
	d, err := other.Add(grown(1))
	if err != nil {
		t.Fatal(err)
	}
	if source, _, err := s.read(t.Context(), d.Hash()); err == nil {
		t.Errorf("found %d bytes of what was never laid there", len(source))
	}
	m, err := s.stream.GetLastMsgForSubject(t.Context(), chunkSubject(kept.Hash(), 0))
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		if _, err := s.js.Publish(t.Context(), chunkSubject(d.Hash(), n), m.Data); err != nil {
			t.Fatal(err)
		}
		if source, _, err := s.read(t.Context(), d.Hash()); err == nil {
			t.Errorf("took %d bytes of another directory", len(source))
		}
	}
}
