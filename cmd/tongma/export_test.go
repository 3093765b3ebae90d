package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// packed is an archive of files, name and text by turns, with true sums behind them.
func packed(t *testing.T, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	sums := ""
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(w, parts[i+1])
		sums += fmt.Sprintf("%x  %s\n", sha256.Sum256([]byte(parts[i+1])), parts[i])
	}
	w, err := z.Create(exportSums)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(w, sums)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestAnExportIsTakenOnlyIfItsSumsHold, and no name in it leads out of the folder.
func TestAnExportIsTakenOnlyIfItsSumsHold(t *testing.T) {
	sheet := "tongma net sheet 1\n"
	whole := fmt.Sprintf(`{"sheet_hash":"%x"}`, sha256.Sum256([]byte(sheet)))
	for _, c := range []struct {
		name    string
		archive []byte
		want    int
	}{
		{"all of it", packed(t, "win-000001.json", whole, "win-000001-sheet.txt", sheet), exitDone},
		{"an open window", packed(t, "win-000001.json", `{"sheet_hash":"00"}`), exitDone},
		{"another hash", packed(t, "win-000001.json", `{"sheet_hash":"00"}`, "win-000001-sheet.txt", sheet), exitBooks},
		{"no archive", []byte("PK"), exitFault},
		{"out of the folder", packed(t, "../x", "y"), exitFault},
		{"hidden", packed(t, ".bashrc", "y"), exitFault},
		{"no name", packed(t, "", "y"), exitFault},
		{"twice", packed(t, "a", "y", "a", "z"), exitFault},
		{"a cursor in a name", packed(t, "a\x1b[2J", "y"), exitFault},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := exported{To: filepath.Join(t.TempDir(), "new", "folder")}
			var err error
			if e.Files, err = unpack(c.archive); err == nil {
				if err = e.verify(); err == nil {
					err = e.write(c.archive, false)
				}
			}
			if got := exitCodeOf(err); got != c.want {
				t.Fatalf("exit code %d, want %d: %v", got, c.want, err)
			}
			if _, err := os.Stat(e.To); (err == nil) != (c.want == exitDone) {
				t.Errorf("the folder: %v", err)
			}
		})
	}
	altered := packed(t, "win-000001.json", whole)
	files, err := unpack(altered)
	if err != nil {
		t.Fatal(err)
	}
	files[0].SHA256 = "00"
	if err := (&exported{Files: files}).verify(); exitCodeOf(err) != exitBooks {
		t.Errorf("a file that is not what its sum says: %v", err)
	}
}
