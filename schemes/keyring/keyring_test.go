package keyring

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nkeys"
	tongma "github.com/tongma/tongma"
)

func opened(t testing.TB, dir string) *Keyring {
	t.Helper()
	k, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyIsMadeOnce(t *testing.T) {
	dir := t.TempDir()
	k := opened(t, dir)
	if _, err := k.Load("acq-north"); err == nil {
		t.Error("a key was there before it was made")
	}
	first, err := k.Generate("acq-north")
	if err != nil {
		t.Fatal(err)
	}
	again, err := opened(t, dir).Generate("acq-north")
	if err != nil || again.PublicKey() != first.PublicKey() {
		t.Errorf("%v, %v, then %v", err, first, again)
	}
	other, err := k.Generate("tongbao")
	if err != nil || other.PublicKey() == first.PublicKey() {
		t.Errorf("%v, %v", err, other)
	}
	if !nkeys.IsValidPublicUserKey(first.PublicKey()) {
		t.Error(first)
	}
	path, _ := k.Path("acq-north")
	for _, p := range []string{path, filepath.Join(dir, "creds", "code-digest.key")} {
		if info, err := os.Stat(p); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", p, info, err)
		}
	}
	if ids, err := k.Participants(); err != nil || !slices.Equal(ids, []tongma.ParticipantID{"acq-north", "tongbao"}) {
		t.Errorf("%v, %v", ids, err)
	}
}

func TestSignatureVerifies(t *testing.T) {
	key, err := opened(t, t.TempDir()).Generate("tongbao")
	if err != nil {
		t.Fatal(err)
	}
	signature, err := key.Sign([]byte("nonce"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := nkeys.FromPublicKey(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	if err := public.Verify([]byte("nonce"), signature); err != nil {
		t.Error(err)
	}
}

func TestReadableByOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	k := opened(t, dir)
	if _, err := k.Generate("tongbao"); err != nil {
		t.Fatal(err)
	}
	path, _ := k.Path("tongbao")
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o601} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for name, read := range map[string]func(tongma.ParticipantID) (*Key, error){"load": k.Load, "generate": k.Generate} {
			if _, err := read("tongbao"); err == nil || !strings.Contains(err.Error(), "0600") {
				t.Errorf("%s at %04o: %v", name, mode, err)
			}
		}
	}
	if err := os.Chmod(path, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Load("tongbao"); err != nil {
		t.Error(err)
	}
	if err := os.Chmod(filepath.Join(dir, "creds", "code-digest.key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a digest secret that others can read was used")
	}
}

func TestFolderWritableByOthersIsRefused(t *testing.T) {
	dir := t.TempDir()
	opened(t, dir)
	if err := os.Chmod(filepath.Join(dir, "creds"), 0o770); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), "0700") {
		t.Error(err)
	}
}

func TestDamagedFilesAreRefusedAndNotReplaced(t *testing.T) {
	dir := t.TempDir()
	k := opened(t, dir)
	account, err := nkeys.CreateAccount()
	if err != nil {
		t.Fatal(err)
	}
	seed, err := account.Seed()
	if err != nil {
		t.Fatal(err)
	}
	path, _ := k.Path("tongbao")
	for name, content := range map[string]string{"empty": "", "other": "SUABC", "an account's seed": string(seed), "huge": strings.Repeat("S", maxFile+1)} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := k.Generate("tongbao"); err == nil || content != "" && strings.Contains(err.Error(), content) {
			t.Errorf("%s: %v", name, err)
		}
		if kept, _ := os.ReadFile(path); string(kept) != content {
			t.Errorf("%s was replaced", name)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "creds", "code-digest.key"), []byte("00"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); err == nil {
		t.Error("a short digest secret was used")
	}
}

func TestNamesCannotLeaveTheFolder(t *testing.T) {
	k := opened(t, t.TempDir())
	for _, id := range []tongma.ParticipantID{"", "../x", "a/b", ".", "A", "a.nk"} {
		if _, err := k.Generate(id); err == nil {
			t.Errorf("%q was accepted", id)
		}
	}
	if _, err := k.Generate("switch"); err != nil {
		t.Error("the switch itself has no key:", err)
	}
}

// Two processes that start at once on a fresh folder end with one key and one
// digest secret.
func TestConcurrentFirstStart(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	seen := map[string]bool{}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			k, err := Open(dir)
			if err != nil {
				t.Error(err)
				return
			}
			key, err := k.Generate("tongbao")
			if err != nil {
				t.Error(err)
				return
			}
			digest := k.Digest("134621141753364349")
			mu.Lock()
			defer mu.Unlock()
			seen[key.PublicKey()+hex.EncodeToString(digest[:])] = true
		})
	}
	wg.Wait()
	if len(seen) != 1 {
		t.Errorf("%d different outcomes", len(seen))
	}
	entries, _ := os.ReadDir(filepath.Join(dir, "creds"))
	if len(entries) != 2 {
		t.Errorf("files left behind: %v", entries)
	}
}

func TestNothingPrintsASecret(t *testing.T) {
	dir := t.TempDir()
	k := opened(t, dir)
	key, err := k.Generate("tongbao")
	if err != nil {
		t.Fatal(err)
	}
	path, _ := k.Path("tongbao")
	seed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := os.ReadFile(filepath.Join(dir, "creds", "code-digest.key"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := hex.DecodeString(strings.TrimSpace(string(secret)))
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%v %+v %#v %s %x %q %d", k, k, k, k, k, k, k)
	text += fmt.Sprintf("%v %+v %#v %s %x %q %d", key, key, key, key, key, key, key)
	text += fmt.Sprintf("%v %+v %#v %s %x", k.Digester, k.Digester, k.Digester, k.Digester, k.Digester)
	for _, s := range []string{strings.TrimSpace(string(seed)), strings.TrimSpace(string(secret)), string(raw), fmt.Sprint(raw)} {
		if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			t.Error("a secret was printed")
		}
	}
}

func TestDigestIsTruncatedHMAC(t *testing.T) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	d, err := NewDigester(secret)
	if err != nil {
		t.Fatal(err)
	}
	for _, code := range []string{"", "1", "134621141753364349", strings.Repeat("28", 40), strings.Repeat("x", 1024)} {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte(code))
		if got := d.Digest(code); !hmac.Equal(got[:], mac.Sum(nil)[:16]) {
			t.Errorf("%d characters: another digest", len(code))
		}
	}
	if _, err := NewDigester(secret[:31]); err == nil {
		t.Error("a short secret was accepted")
	}
}

func TestDigestIsSafeForConcurrentUse(t *testing.T) {
	d, err := NewDigester(make([]byte, SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			code := fmt.Sprintf("13462114175336434%d", g)
			want := d.Digest(code)
			for range 2000 {
				if d.Digest(code) != want {
					t.Error("the digest of one code changed")
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestDigestAllocatesNothing(t *testing.T) {
	d, err := NewDigester(make([]byte, SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1000, func() { d.Digest("134621141753364349") }); n >= 1 && !raceDetector {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkDigest(b *testing.B) {
	d, err := NewDigester(make([]byte, SecretSize))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d.Digest("134621141753364349")
	}
}
