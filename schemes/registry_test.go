package schemes

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	tongma "github.com/tongma/tongma"
)

func opened(t *testing.T, dir string) *Registry {
	t.Helper()
	r, err := OpenRegistry(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func added(t *testing.T, r *Registry, source []byte) *Directory {
	t.Helper()
	d, err := r.Add(source)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// three makes a registry of three versions and returns its folder.
func three(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "directory")
	r := opened(t, dir)
	added(t, r, Sandbox())
	added(t, r, edited(t, suspend("wechatpay")...))
	added(t, r, edited(t, suspend("antnet")...))
	return dir
}

func TestRegistryKeepsEveryVersion(t *testing.T) {
	dir := three(t)
	r := opened(t, dir)
	if !slices.Equal(r.Versions(), []uint64{1, 2, 3}) || r.Current().Version() != 3 {
		t.Fatal(r.Versions())
	}
	first, ok := r.At(1)
	if !ok || string(first.Source()) != string(Sandbox()) {
		t.Error("version 1 is not what was added")
	}
	for _, v := range []uint64{0, 4} {
		if _, ok := r.At(v); ok {
			t.Errorf("there is a version %d", v)
		}
	}
	if added(t, r, Sandbox()).Version() != 4 {
		t.Error("going back to an earlier directory is a new version")
	}
	for _, name := range []string{"000001.yaml", "000004.yaml"} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func TestSameBytesAddNothing(t *testing.T) {
	dir := three(t)
	r := opened(t, dir)
	d, err := r.Add(r.Current().Source())
	if err != nil || d != r.Current() || d.Version() != 3 {
		t.Errorf("%v, %v", d.Version(), err)
	}
	if names, _ := versionFiles(dir); len(names) != 3 {
		t.Error(names)
	}
}

func TestRefusedVersionChangesNothing(t *testing.T) {
	r := opened(t, three(t))
	before := r.Current()
	if d, err := r.Add([]byte("participants: none")); err == nil || d != nil {
		t.Error("it was accepted")
	}
	if r.Current() != before {
		t.Error("the current version changed")
	}
}

// A crash while adding leaves a file of another name, whole or torn.
func TestTornTemporaryFileIsIgnored(t *testing.T) {
	dir := three(t)
	source := edited(t, suspend("tongbao")...)
	for name, content := range map[string][]byte{".adding-1": source[:100], ".adding-2": nil, "notes.txt": []byte("x"), "draft.yaml": source} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := opened(t, dir)
	if r.Current().Version() != 3 {
		t.Fatal(r.Versions())
	}
	added(t, r, source)
	if opened(t, dir).Current().Version() != 4 {
		t.Error("the version added after the crash is lost")
	}
}

func TestAddLeavesNoTemporaryFile(t *testing.T) {
	entries, err := os.ReadDir(three(t))
	if err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
}

// Any byte of any version, seal included, and any cut are noticed, with the file.
func TestChangedByteIsDetected(t *testing.T) {
	dir := three(t)
	for _, name := range []string{"000001.yaml", "000002.yaml", "000003.yaml"} {
		path := filepath.Join(dir, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		damage := func(what string, content []byte) {
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := OpenRegistry(dir); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("%s, %s: %v", name, what, err)
			}
		}
		for at := 0; at < len(good); at += 389 {
			bad := slices.Clone(good)
			bad[at] ^= 1
			damage(fmt.Sprintf("byte %d", at), bad)
		}
		damage("cut", good[:len(good)-1])
		damage("longer", append(slices.Clone(good), '\n'))
		damage("empty", nil)
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	opened(t, dir)
}

func TestMissingOrSwappedVersionIsDetected(t *testing.T) {
	dir := three(t)
	one, two := filepath.Join(dir, "000001.yaml"), filepath.Join(dir, "000002.yaml")
	if err := os.Rename(two, two+".away"); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRegistry(dir); err == nil || !strings.Contains(err.Error(), "000002.yaml") {
		t.Error(err)
	}
	content, err := os.ReadFile(one)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(two, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenRegistry(dir); err == nil || !strings.Contains(err.Error(), "seal") {
		t.Error(err)
	}
}

// Two processes on one folder cannot both add version 4.
func TestSecondWriterIsRefused(t *testing.T) {
	dir := three(t)
	a, b := opened(t, dir), opened(t, dir)
	added(t, a, edited(t, suspend("tongbao")...))
	_, err := b.Add(edited(t, suspend("thainet")...))
	if !errors.Is(err, os.ErrExist) || tongma.ReasonOf(err) != tongma.Internal {
		t.Error(err)
	}
	if b.Current().Version() != 3 || opened(t, dir).Current().Hash() != a.Current().Hash() {
		t.Error("the second writer's version is seen")
	}
}

func TestMemoryRegistryTakesConsecutiveVersions(t *testing.T) {
	one := sandboxed(t)
	three, err := Parse(3, Sandbox())
	if err != nil {
		t.Fatal(err)
	}
	if r := NewMemoryRegistry(); r.Current() != nil || len(r.Versions()) != 0 {
		t.Error("an empty registry has a version")
	}
	if r := NewMemoryRegistry(one, three); r.Current() != one {
		t.Error("a gap was accepted")
	}
}

// Readers see a whole version or the one before, while versions are added.
func TestReadersDoNotWait(t *testing.T) {
	r := NewMemoryRegistry(sandboxed(t))
	sources := [][]byte{edited(t, suspend("antnet")...), Sandbox()}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			last := uint64(0)
			for last < 9 {
				d := r.Current()
				if d.Version() < last || len(d.Schemes()) != 9 {
					t.Error("a version went back")
					return
				}
				last = d.Version()
				if again, ok := r.At(last); !ok || again != d {
					t.Error("At and Current differ")
					return
				}
			}
		})
	}
	for i := range 8 {
		if _, err := r.Add(sources[i%2]); err != nil {
			t.Error(err)
		}
	}
	wg.Wait()
}
