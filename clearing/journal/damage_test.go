package journal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// blockFiles are the files in which the server keeps the messages of the stream,
// and the index that it makes of them.
func blockFiles(t *testing.T, dir string) (blocks, index []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case strings.HasSuffix(path, ".blk") && strings.Contains(path, "J_0"):
			blocks = append(blocks, path)
		case d.Name() == "index.db":
			index = append(index, path)
		}
		return nil
	})
	if err != nil || len(blocks) == 0 {
		t.Fatal(blocks, err)
	}
	return blocks, index
}

// A server whose file was damaged starts without a word and offers a shorter
// stream, or one with a hole. The chain and the checkpoint refuse both.
func TestBitFlippedInTheServersFileIsRefused(t *testing.T) {
	for _, withIndex := range []bool{true, false} {
		t.Run(fmt.Sprintf("index kept %v", withIndex), func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "checkpoint")
			s := serve(t, dir)
			nc := connect(t, s)
			l, _ := writer(t, openJetStream(t, nc), WithCheckpoint(path, time.Hour))
			for i := range 100 {
				commit(t, l, fmt.Sprint("entry ", i, strings.Repeat("x", 100)))
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			nc.Close()
			stopServer(s)

			blocks, index := blockFiles(t, dir)
			data, err := os.ReadFile(blocks[0])
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)/2] ^= 1
			if err := os.WriteFile(blocks[0], data, 0o600); err != nil {
				t.Fatal(err)
			}
			for _, file := range index {
				if withIndex {
					break
				}
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}

			store := openJetStream(t, connect(t, serve(t, dir)))
			_, err = Open(t.Context(), store, 0, ignore, WithCheckpoint(path, time.Hour))
			if err == nil {
				t.Fatal("opened")
			}
			t.Log(err)
			if errors.Is(err, ErrInDoubt) || !strings.Contains(err.Error(), "sequence 5") && !strings.Contains(err.Error(), "sequence 4") {
				t.Fatalf("does not say where: %v", err)
			}
		})
	}
}
