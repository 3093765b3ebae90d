package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func sample(n, size int) [][]byte {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(size)))
	entries := make([][]byte, n)
	for i := range entries {
		entries[i] = make([]byte, size)
		for j := range entries[i] {
			entries[i][j] = byte(rng.Uint32())
		}
	}
	return entries
}

func TestBatchReadsBackWhatWasWritten(t *testing.T) {
	for _, entries := range [][][]byte{nil, sample(1, 1), sample(3, 200), sample(MaxEntries, MaxBytes/MaxEntries)} {
		b := Batch{Shard: 7, Epoch: 2, Writer: 1 << 63, Number: 9, First: 100, Directory: 5, Time: -1, Prev: Hash([]byte("a")), Entries: entries}
		b.Root = MerkleRoot(entries)
		message := b.AppendTo(nil)
		got, err := ParseBatch(message)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, b) {
			t.Fatalf("%d entries: read %+v", len(entries), got)
		}
		if len(message) > MaxMessage {
			t.Fatalf("message of %d bytes passes MaxMessage", len(message))
		}
	}
}

func TestParseBatchSaysWhere(t *testing.T) {
	whole := (&Batch{Number: 1, First: 1, Entries: [][]byte{[]byte("one"), []byte("two")}}).AppendTo(nil)
	change := func(at int, to ...byte) []byte {
		m := bytes.Clone(whole)
		copy(m[at:], to)
		return m
	}
	for _, test := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"nothing", nil, "offset 0: ends inside the header"},
		{"header cut", whole[:119], "offset 119: ends inside the header"},
		{"version", change(0, 2), "offset 0: format version 2"},
		{"magic", change(1, 'X'), "offset 1"},
		{"count", change(6, 0xff, 0xff), "offset 6: 65535 entries"},
		{"one entry too many told", change(6, 0, 3), "ends before entry 2 of 3"},
		{"one entry too few told", change(6, 0, 1), "offset 127: 7 bytes behind the last entry"},
		{"empty entry", change(120, 0, 0, 0, 0), "offset 120: entry 0 is empty"},
		{"length too long", change(120, 0, 0, 0, 200), "passes the end"},
		{"length beyond all", change(120, 0xff, 0xff, 0xff, 0xff), "passes 524288 bytes"},
		{"cut", whole[:len(whole)-1], "passes the end"},
		{"more", append(bytes.Clone(whole), 0), "1 bytes behind the last entry"},
	} {
		_, err := ParseBatch(test.message)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}

func TestCheckEntriesHoldsTheBounds(t *testing.T) {
	for _, test := range []struct {
		entries [][]byte
		ok      bool
	}{
		{nil, false},
		{sample(1, 1), true},
		{[][]byte{{1}, {}}, false},
		{sample(MaxEntries, 1), true},
		{sample(MaxEntries+1, 1), false},
		{sample(1, MaxBytes), true},
		{sample(2, MaxBytes/2+1), false},
	} {
		if err := CheckEntries(test.entries); (err == nil) != test.ok || (err != nil && !errors.Is(err, ErrBounds)) {
			t.Errorf("%d entries: %v", len(test.entries), err)
		}
	}
}

// The roots of RFC 6962's own reference test data.
func TestMerkleRootMatchesKnownTrees(t *testing.T) {
	leaves := []string{"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}
	var entries [][]byte
	for i, want := range roots {
		if i > 0 {
			leaf, err := hex.DecodeString(leaves[i-1])
			if err != nil {
				t.Fatal(err)
			}
			entries = append(entries, leaf)
		}
		if got := MerkleRoot(entries); hex.EncodeToString(got[:]) != want {
			t.Errorf("%d leaves: %x, want %s", i, got, want)
		}
	}
}

// naiveRoot is the definition of RFC 6962, word for word.
func naiveRoot(entries [][]byte) [32]byte {
	switch len(entries) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return sha256.Sum256(append([]byte{0}, entries[0]...))
	}
	k := 1
	for k*2 < len(entries) {
		k *= 2
	}
	l, r := naiveRoot(entries[:k]), naiveRoot(entries[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

func TestMerkleRootIsTheDefinition(t *testing.T) {
	for n := range 130 {
		entries := sample(n, 3)
		if MerkleRoot(entries) != naiveRoot(entries) {
			t.Fatalf("%d leaves differ", n)
		}
	}
	for _, size := range []int{smallLeaf - 1, smallLeaf, smallLeaf + 1, 5000} {
		entries := sample(5, size)
		if MerkleRoot(entries) != naiveRoot(entries) {
			t.Fatalf("leaves of %d bytes differ", size)
		}
	}
}

// TestAGroupIsTheBatchOfItsEntries, whenever they are hashed, and however often it is used.
func TestAGroupIsTheBatchOfItsEntries(t *testing.T) {
	var g Group
	rng := rand.New(rand.NewPCG(1, 2))
	for count := 1; count <= MaxEntries; count = count*3/2 + 1 {
		var want [][]byte
		for range count {
			entry := make([]byte, 1+rng.IntN(300))
			for i := range entry {
				entry[i] = byte(rng.Uint32())
			}
			want = append(want, entry)
			g.Add(raw(entry))
			if rng.IntN(3) == 0 {
				g.Hash(rng.IntN(5))
			}
		}
		for g.Hash(7) {
		}
		if g.Hash(1) || g.Len() != count || g.tree.root() != MerkleRoot(want) {
			t.Fatalf("%d entries: %d, another root, or some are not hashed", count, g.Len())
		}
		b := Batch{Entries: want, Number: uint64(count), Root: MerkleRoot(want)}
		if b.appendHeader(g.message[:0]); !bytes.Equal(g.message, b.AppendTo(nil)) {
			t.Fatalf("%d entries: another message than the batch has", count)
		}
		if got := g.all(); !slices.EqualFunc(got, want, bytes.Equal) {
			t.Fatalf("%d entries: others are returned", count)
		}
		g.Reset()
	}
}

// TestAGroupIsFullInTime: as long as it is not full another entry of the size asked for
// fits the bounds.
func TestAGroupIsFullInTime(t *testing.T) {
	for _, size := range []int{1, 511, 2048, 4096} {
		var g Group
		for !g.Full(size) {
			g.Add(raw(make([]byte, size)))
		}
		if err := CheckEntries(g.all()); err != nil {
			t.Errorf("entries of %d bytes: %v", size, err)
		}
		if g.Len() < min(MaxEntries, MaxBytes/size-1) {
			t.Errorf("entries of %d bytes: full at %d", size, g.Len())
		}
	}
}

func TestMerkleRootDoesNotAllocate(t *testing.T) {
	entries := sample(100, 200)
	if n := testing.AllocsPerRun(10, func() { MerkleRoot(entries) }); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}

func FuzzParseBatch(f *testing.F) {
	f.Add([]byte{})
	for _, n := range []int{0, 1, 3} {
		b := Batch{Shard: 1, Epoch: 1, Number: 1, First: 1, Entries: sample(n, 10)}
		f.Add(b.AppendTo(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		// Lead the fuzzer past the first bytes, and as deep as it will go.
		if len(data) >= headerSize {
			data = bytes.Clone(data)
			copy(data, "\x01TMJ")
			binary.BigEndian.PutUint16(data[6:], binary.BigEndian.Uint16(data[6:])%(MaxEntries+2))
		}
		b, err := ParseBatch(data)
		if err != nil {
			return
		}
		if again := b.AppendTo(nil); !bytes.Equal(again, data) {
			t.Fatalf("encodes as %x, was %x", again, data)
		}
		if len(b.Entries) > 0 {
			if err := CheckEntries(b.Entries); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkSealBatch(b *testing.B) {
	entries := sample(1000, 200)
	batch := Batch{Entries: entries}
	buf := make([]byte, 0, MaxMessage)
	b.ReportAllocs()
	for b.Loop() {
		batch.Root = MerkleRoot(entries)
		buf = batch.AppendTo(buf[:0])
		batch.Prev = Hash(buf)
	}
}

func BenchmarkMerkleRoot(b *testing.B) {
	entries := sample(1000, 200)
	for b.Loop() {
		MerkleRoot(entries)
	}
}
