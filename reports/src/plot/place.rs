//! Places for direct labels: near their points, on nothing else.
use super::picture::{Point, TextBox};

/// Find a place for a text of `width` by `height` near `point`, free of `taken` boxes and within
/// `bounds`. Answers the box, or nothing when the neighbourhood is full.
///
/// Rings of growing distance are tried, each from the top clockwise, so a label moves away from
/// its point only when it must.
pub(super) fn place(
    point: Point,
    (width, height): (f64, f64),
    taken: &[TextBox],
    bounds: TextBox,
) -> Option<TextBox> {
    const DIRECTIONS: [(f64, f64); 8] = [
        (0.0, -1.0),
        (1.0, 0.0),
        (-1.0, 0.0),
        (0.0, 1.0),
        (0.8, -0.8),
        (-0.8, -0.8),
        (0.8, 0.8),
        (-0.8, 0.8),
    ];
    let candidates = [9.0, 14.0, 20.0, 28.0, 38.0, 50.0].into_iter().flat_map(|gap| {
        DIRECTIONS.map(|(dx, dy)| {
            // Half extents along the direction, so that the gap is from edge to point.
            let x = point.0 + dx * (gap + width / 2.0);
            let y = point.1 + dy * (gap + height / 2.0);
            (x - width / 2.0, y - height / 2.0, x + width / 2.0, y + height / 2.0)
        })
    });
    let inside =
        |b: &TextBox| b.0 >= bounds.0 && b.1 >= bounds.1 && b.2 <= bounds.2 && b.3 <= bounds.3;
    let mut candidates = candidates.filter(inside);
    candidates.find(|b| !taken.iter().any(|t| overlap(b, t)))
}

/// Whether two boxes share more than an edge.
pub(super) fn overlap(a: &TextBox, b: &TextBox) -> bool {
    a.0 < b.2 && b.0 < a.2 && a.1 < b.3 && b.1 < a.3
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TextBox = (0.0, 0.0, 200.0, 200.0);

    #[test]
    fn a_free_label_stands_above_its_point() {
        let found = place((100.0, 100.0), (40.0, 10.0), &[], BOUNDS).unwrap();
        assert_eq!(found, (80.0, 81.0, 120.0, 91.0));
    }

    #[test]
    fn a_label_avoids_what_is_taken_and_the_edges() {
        let above = (80.0, 70.0, 120.0, 92.0);
        let found = place((100.0, 100.0), (40.0, 10.0), &[above], BOUNDS).unwrap();
        assert!(!overlap(&found, &above));
        let corner = place((199.0, 1.0), (40.0, 10.0), &[], BOUNDS).unwrap();
        assert!(corner.2 <= 200.0 && corner.1 >= 0.0);
        assert_eq!(place((100.0, 100.0), (40.0, 10.0), &[BOUNDS], BOUNDS), None);
    }
}
