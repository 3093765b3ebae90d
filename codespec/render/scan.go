package render

import (
	"bytes"
	"fmt"
	"image"
	_ "image/gif"  // read by ScanImage
	_ "image/jpeg" // read by ScanImage
	"io"
	"strings"
	"unicode/utf8"

	"github.com/makiuchi-d/gozxing"
	multiqr "github.com/makiuchi-d/gozxing/multi/qrcode"
	"github.com/makiuchi-d/gozxing/oned"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// Bounds of ScanImage. The pixel count is read from the header, before any
// pixel is decoded.
const (
	MaxImageBytes  = 16 << 20
	MaxImagePixels = 24_000_000
)

// ScanImage reads the QR and Code 128 symbols of a PNG, JPEG or GIF image. It
// returns each text once; bytes that are not UTF-8 come back as they stand in
// the symbol. It first takes the image for a clean drawing, which finds codes
// that the search misses, then searches. Errors are ErrImage, ErrImageSize and
// ErrNoCode.
func ScanImage(r io.Reader) ([]string, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxImageBytes+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrImage, err)
	}
	if len(data) > MaxImageBytes {
		return nil, ErrImageSize
	}
	head, _, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return nil, ErrImage
	}
	if head.Width <= 0 || head.Height <= 0 || head.Width > MaxImagePixels/head.Height {
		return nil, ErrImageSize
	}
	img, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return nil, ErrImage
	}
	return Scan(img)
}

// Scan reads the QR and Code 128 symbols of an image. See ScanImage.
func Scan(img image.Image) ([]string, error) {
	b := img.Bounds()
	if b.Dx() <= 0 || b.Dy() <= 0 || b.Dx() > MaxImagePixels/b.Dy() {
		return nil, ErrImageSize
	}
	source := gozxing.NewLuminanceSourceFromImage(img)
	for _, step := range steps {
		for _, src := range []gozxing.LuminanceSource{source, source.Invert()} {
			if found := step(src); len(found) > 0 {
				return found, nil
			}
		}
	}
	return nil, ErrNoCode
}

// steps go from cheap and certain to slow.
var steps = []func(gozxing.LuminanceSource) []string{
	func(s gozxing.LuminanceSource) []string { return readQR(s, true) },
	readLinear,
	readMany,
	func(s gozxing.LuminanceSource) []string { return readQR(s, false) },
}

func readQR(src gozxing.LuminanceSource, pure bool) []string {
	return read(src, qrcode.NewQRCodeReader, pure)
}

func readLinear(src gozxing.LuminanceSource) []string {
	return read(src, oned.NewCode128Reader, false)
}

func readMany(src gozxing.LuminanceSource) []string {
	return texts(func(hints hintMap) ([]*gozxing.Result, error) {
		hints[gozxing.DecodeHintType_TRY_HARDER] = true
		bitmap, err := gozxing.NewBinaryBitmap(gozxing.NewHybridBinarizer(src))
		if err != nil {
			return nil, err
		}
		return multiqr.NewQRCodeMultiReader().DecodeMultiple(bitmap, hints)
	})
}

type hintMap = map[gozxing.DecodeHintType]any

func read(src gozxing.LuminanceSource, reader func() gozxing.Reader, pure bool) []string {
	for _, binarize := range []func(gozxing.LuminanceSource) gozxing.Binarizer{gozxing.NewHybridBinarizer, gozxing.NewGlobalHistgramBinarizer} {
		found := texts(func(hints hintMap) ([]*gozxing.Result, error) {
			if pure {
				hints[gozxing.DecodeHintType_PURE_BARCODE] = true
			} else {
				hints[gozxing.DecodeHintType_TRY_HARDER] = true
			}
			bitmap, err := gozxing.NewBinaryBitmap(binarize(src))
			if err != nil {
				return nil, err
			}
			result, err := reader().Decode(bitmap, hints)
			if err != nil {
				return nil, err
			}
			return []*gozxing.Result{result}, nil
		})
		if len(found) > 0 {
			return found
		}
	}
	return nil
}

// texts runs a read taking bytes for UTF-8. If that leaves replacement
// characters, it reads once more taking each byte for itself. A panic of the
// reader on a strange image counts as nothing found.
func texts(run func(hintMap) ([]*gozxing.Result, error)) (found []string) {
	defer func() {
		if recover() != nil {
			found = nil
		}
	}()
	results, err := run(hintMap{gozxing.DecodeHintType_CHARACTER_SET: "UTF-8"})
	if err != nil {
		return nil
	}
	for _, r := range results {
		if strings.ContainsRune(r.GetText(), utf8.RuneError) {
			return rawTexts(run)
		}
	}
	return unique(results, func(s string) string { return s })
}

func rawTexts(run func(hintMap) ([]*gozxing.Result, error)) []string {
	results, err := run(hintMap{gozxing.DecodeHintType_CHARACTER_SET: "ISO-8859-1"})
	if err != nil {
		return nil
	}
	return unique(results, func(s string) string {
		b := make([]byte, 0, len(s))
		for _, r := range s {
			if r > 0xFF {
				return s // an ECI said what it is
			}
			b = append(b, byte(r))
		}
		return string(b)
	})
}

func unique(results []*gozxing.Result, bytesOf func(string) string) []string {
	var list []string
next:
	for _, r := range results {
		text := bytesOf(r.GetText())
		for _, have := range list {
			if have == text {
				continue next
			}
		}
		if text != "" {
			list = append(list, text)
		}
	}
	return list
}

// needsECI reports whether text is UTF-8 beyond ASCII.
func needsECI(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] >= utf8.RuneSelf {
			return utf8.ValidString(text)
		}
	}
	return false
}
