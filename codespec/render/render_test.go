package render

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"encoding/xml"
	"errors"
	"hash/crc32"
	"image"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// samples are the texts of all vectors.
func samples(t testing.TB) []string {
	t.Helper()
	var all []string
	seen := map[string]bool{}
	for _, name := range []string{"mpm.jsonl", "cpm.jsonl", "wallet_codes.jsonl"} {
		f, err := os.Open("../testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(f)
		in.Buffer(nil, 1<<20)
		for in.Scan() {
			var v struct{ Payload, Code string }
			if err := json.Unmarshal(in.Bytes(), &v); err != nil {
				t.Fatal(err)
			}
			text := v.Payload + v.Code
			if !seen[text] {
				seen[text] = true
				all = append(all, text)
			}
		}
		f.Close()
	}
	if len(all) < 200 {
		t.Fatalf("only %d samples", len(all))
	}
	return all
}

func pngOf(t testing.TB, s *Symbol, scale int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := s.PNG(&b, scale); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEveryVectorReadsBackFromItsQR(t *testing.T) {
	list := samples(t)
	for i, text := range list {
		s, err := QR(text, M)
		if err != nil {
			t.Fatalf("sample %d: %v", i, err)
		}
		got, err := ScanImage(bytes.NewReader(pngOf(t, s, 3)))
		if err != nil || len(got) != 1 || got[0] != text {
			t.Errorf("sample %d: read back %d texts, %v", i, len(got), err)
		}
	}
	t.Logf("%d codes read back", len(list))
}

func TestCode128ReadsBackAndHasTheMeasuredWidth(t *testing.T) {
	for text, width := range map[string]int{
		"134621141753364349":       134,
		"6200000000000000001":      156,
		"270000000000000000000001": 167,
		"77000112345678901234":     145,
	} {
		s, err := Code128(text)
		if err != nil {
			t.Fatal(err)
		}
		if s.width != width {
			t.Errorf("%d digits: %d modules, want %d", len(text), s.width, width)
		}
		got, err := ScanImage(bytes.NewReader(pngOf(t, s, 2)))
		if err != nil || len(got) != 1 || got[0] != text {
			t.Errorf("%d digits: read back %d texts, %v", len(text), len(got), err)
		}
	}
}

func TestBinaryAndForeignTextsReadBack(t *testing.T) {
	for _, text := range []string{
		"\x80\x01\x49$\x01\x01\x00\x00\xff\xfe\r\n\x00\x81",
		"最佳运输",
		"ភ្នំពញ",
		"1234567890👀12345",
	} {
		s, err := QR(text, Q)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ScanImage(bytes.NewReader(pngOf(t, s, 4)))
		if err != nil || len(got) != 1 || got[0] != text {
			t.Errorf("%q: read back %q, %v", text, got, err)
		}
	}
}

// TestZbarReadsOurCodes asks a reader that shares nothing with ours.
func TestZbarReadsOurCodes(t *testing.T) {
	zbar, err := exec.LookPath("zbarimg")
	if err != nil {
		t.Skip("zbarimg is not installed (Debian: zbar-tools): the independent reader did not check these drawings")
	}
	dir := t.TempDir()
	read := func(s *Symbol, text string) {
		file := filepath.Join(dir, "code.png")
		if err := os.WriteFile(file, pngOf(t, s, 4), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(zbar, "--raw", "-q", file).Output()
		if got := strings.TrimSuffix(string(out), "\n"); err != nil || got != text {
			t.Errorf("zbarimg read %q, want %q: %v", got, text, err)
		}
	}
	n := 0
	for i, text := range samples(t) {
		if i%4 != 0 && strings.IndexFunc(text, func(r rune) bool { return r > 0x7F }) < 0 {
			continue // a quarter of the ASCII ones, and everything else
		}
		if strings.ContainsAny(text, "\r\n") {
			continue // raw output cannot tell a line feed of the code from its own
		}
		s, err := QR(text, M)
		if err != nil {
			t.Fatal(err)
		}
		read(s, text)
		n++
	}
	for _, text := range []string{"134621141753364349", "6200000000000000001", "77000112345678901234"} {
		s, err := Code128(text)
		if err != nil {
			t.Fatal(err)
		}
		read(s, text)
		n++
	}
	t.Logf("zbarimg read %d codes", n)
}

func TestTerminalShowsTheSameModules(t *testing.T) {
	s, err := QR("https://qr.95516.com/00010000/62028489073949969691921655610979", L)
	if err != nil {
		t.Fatal(err)
	}
	width, height := s.Size()
	for _, invert := range []bool{false, true} {
		var b bytes.Buffer
		if err := s.Terminal(&b, invert); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		if len(lines) != (height+1)/2 {
			t.Fatalf("%d lines for %d rows", len(lines), height)
		}
		for y := range height {
			row := []rune(lines[y/2])
			if len(row) != width {
				t.Fatalf("line %d has %d columns, want %d", y/2, len(row), width)
			}
			for x, r := range row {
				upper, lower := r == '▀' || r == '█', r == '▄' || r == '█'
				lit := upper
				if y%2 == 1 {
					lit = lower
				}
				if lit != (s.Dark(x, y) != invert) {
					t.Fatalf("module %d,%d differs", x, y)
				}
			}
		}
	}
}

func TestSVGIsOnePathOfTheSameModules(t *testing.T) {
	for _, draw := range []func() (*Symbol, error){
		func() (*Symbol, error) { return QR("77000112345678901234", M) },
		func() (*Symbol, error) { return Code128("77000112345678901234") },
	} {
		s, err := draw()
		if err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := s.SVG(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "77000112345678901234") {
			t.Error("the drawing prints the code")
		}
		dec := xml.NewDecoder(bytes.NewReader(b.Bytes()))
		paths := 0
		for {
			tok, err := dec.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "path" {
				paths++
			}
		}
		if paths != 2 {
			t.Errorf("%d paths", paths)
		}
	}
}

// TestImageBombIsRefusedByItsHeader claims more pixels than are allowed.
func TestImageBombIsRefusedByItsHeader(t *testing.T) {
	head := []byte("IHDR\x00\x00\xff\xff\x00\x00\xff\xff\x08\x00\x00\x00\x00")
	bomb := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), head...)
	bomb = binary.BigEndian.AppendUint32(bomb, crc32.ChecksumIEEE(head))
	if _, err := ScanImage(bytes.NewReader(bomb)); !errors.Is(err, ErrImageSize) {
		t.Errorf("got %v", err)
	}
	if _, err := ScanImage(io.LimitReader(zeros{}, MaxImageBytes+2)); !errors.Is(err, ErrImageSize) {
		t.Errorf("long stream: %v", err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func TestScanNamesWhatIsWrong(t *testing.T) {
	if _, err := ScanImage(strings.NewReader("not an image")); !errors.Is(err, ErrImage) {
		t.Errorf("text: %v", err)
	}
	if _, err := Scan(image.NewGray(image.Rect(0, 0, 64, 64))); !errors.Is(err, ErrNoCode) {
		t.Errorf("black square: %v", err)
	}
}

func TestDrawingBounds(t *testing.T) {
	if _, err := QR(strings.Repeat("x", 3000), L); !errors.Is(err, ErrTooLong) {
		t.Errorf("QR of 3000 bytes: %v", err)
	}
	if _, err := QR("", M); !errors.Is(err, ErrText) {
		t.Errorf("QR of nothing: %v", err)
	}
	if _, err := Code128(strings.Repeat("1", 81)); !errors.Is(err, ErrTooLong) {
		t.Errorf("Code 128 of 81 digits: %v", err)
	}
	if _, err := Code128("１２"); !errors.Is(err, ErrText) {
		t.Errorf("Code 128 of full-width digits: %v", err)
	}
	s, err := QR("1", M)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.PNG(io.Discard, 0); !errors.Is(err, ErrScale) {
		t.Errorf("scale 0: %v", err)
	}
}

func BenchmarkQRPNG(b *testing.B) {
	for b.Loop() {
		s, err := QR("https://qr.95516.com/00010000/62028489073949969691921655610979", M)
		if err != nil {
			b.Fatal(err)
		}
		if err := s.PNG(io.Discard, 4); err != nil {
			b.Fatal(err)
		}
	}
}
