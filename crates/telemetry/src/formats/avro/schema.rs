//! Avro schemas: parsing, names and fingerprints (Avro 1.12, "Schema Declaration" and "Parsing Canonical Form").

mod fingerprint;

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::logical::Logical;

/// The index of a type in [`Types`].
pub(super) type TypeId = usize;

/// The longest name of a field, a symbol or a type with its namespace in bytes. Names become the names of readings, and each
/// type and each use of it has a copy.
const MAX_NAME_BYTES: usize = 256;

/// All types of one or several schemas.
#[derive(Debug, Clone, Default)]
pub(super) struct Types {
    all: Vec<Type>,
    /// References to names that the schema itself does not define.
    unresolved: Vec<Reference>,
    /// The named types of all schemas. Several versions of a schema define the same name.
    definitions: HashMap<String, Vec<TypeId>>,
}

/// A type, as far as decoding needs it.
#[derive(Debug, Clone)]
pub(super) struct Type {
    pub(super) shape: Shape,
    pub(super) logical: Option<Logical>,
}

#[derive(Debug, Clone)]
pub(super) enum Shape {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Record {
        name: String,
        fields: Vec<(String, TypeId)>,
    },
    Enum {
        name: String,
        symbols: Vec<String>,
    },
    Fixed {
        name: String,
        size: usize,
    },
    /// A type that is defined elsewhere.
    Named(TypeId),
}

#[derive(Debug, Clone)]
struct Reference {
    from: TypeId,
    name: String,
    pointer: String,
    /// What the error is about.
    schema: String,
}

/// What is wrong with a schema, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SchemaError {
    /// The place in the schema.
    pointer: String,
    message: String,
}

impl std::fmt::Display for SchemaError {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match &*self.pointer {
            "" => f.write_str(&self.message),
            pointer => write!(f, "at {pointer}: {}", self.message),
        }
    }
}

impl Types {
    pub(super) fn get(&self, id: TypeId) -> &Type {
        &self.all[id]
    }

    /// Adds a schema. `schema` is its file, for errors. A name that the schema does not define is looked up by
    /// [`Types::resolve`].
    pub(super) fn add(&mut self, schema: &str, text: &[u8]) -> Result<TypeId, SchemaError> {
        let mut parser = Parser { types: self, names: HashMap::new(), references: Vec::new(), pointer: String::new() };
        let root = parser.parse_text(text);
        let Parser { names, references, pointer, .. } = parser;
        let root = root.map_err(|message| SchemaError { pointer, message })?;
        for (from, name, pointer) in references {
            match names.get(&name) {
                Some(id) => self.all[from].shape = Shape::Named(*id),
                None => self.unresolved.push(Reference { from, name, pointer, schema: schema.to_owned() }),
            }
        }
        for (name, id) in names {
            self.definitions.entry(name).or_default().push(id);
        }
        Ok(root)
    }

    /// Resolves the names that a schema uses of other schemas.
    ///
    /// # Errors
    ///
    /// Returns the schema with such a name and the error, if no other schema defines the name, or several do.
    pub(super) fn resolve(&mut self) -> Result<(), (String, SchemaError)> {
        for Reference { from, name, pointer, schema } in self.unresolved.drain(..) {
            let message = match self.definitions.get(&name).map(Vec::as_slice) {
                Some([id]) => {
                    self.all[from].shape = Shape::Named(*id);
                    continue;
                }
                Some(ids) => {
                    format!("the type `{name}` is defined by {} schemas: it must be defined by one", ids.len())
                }
                None => {
                    format!("the type `{name}` is not defined: define it in this schema or in another of `schemas`")
                }
            };
            return Err((schema, SchemaError { pointer, message }));
        }
        Ok(())
    }
}

struct Parser<'t> {
    types: &'t mut Types,
    names: HashMap<String, TypeId>,
    /// The types that are names, with the places of the names.
    references: Vec<(TypeId, String, String)>,
    /// The place that is parsed, or where parsing failed.
    pointer: String,
}

impl Parser<'_> {
    fn parse_text(&mut self, text: &[u8]) -> Result<TypeId, String> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let json: Value = serde_json::from_slice(text).or_else(|error| match str::from_utf8(text) {
            // The name of a primitive type may stand alone, without quotation marks.
            Ok(name) if primitive(name.trim()).is_some() => Ok(Value::from(name.trim())),
            _ => Err(format!("it is not valid JSON: {error}")),
        })?;
        self.parse(&json, "")
    }

    /// Parses a part of the schema, whose name or index is added to the pointer meanwhile.
    fn within<T>(
        &mut self,
        part: impl std::fmt::Display,
        parse: impl FnOnce(&mut Self) -> Result<T, String>,
    ) -> Result<T, String> {
        let length = self.pointer.len();
        self.pointer = format!("{}/{part}", self.pointer);
        let parsed = parse(self)?;
        self.pointer.truncate(length);
        Ok(parsed)
    }

    fn parse(&mut self, json: &Value, namespace: &str) -> Result<TypeId, String> {
        match json {
            Value::String(name) => self.named(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().enumerate();
                let ids = branches.map(|(index, branch)| self.within(index, |parser| parser.parse(branch, namespace)));
                let shape = Shape::Union(ids.collect::<Result<_, _>>()?);
                Ok(self.push(shape, None))
            }
            Value::Object(object) => self.parse_object(object, namespace),
            other => Err(format!("a schema is a name, an object or an array, not {other}")),
        }
    }

    fn push(&mut self, shape: Shape, logical: Option<Logical>) -> TypeId {
        self.types.all.push(Type { shape, logical });
        self.types.all.len() - 1
    }

    fn named(&mut self, name: &str, namespace: &str) -> Result<TypeId, String> {
        if let Some(shape) = primitive(name) {
            return Ok(self.push(shape, None));
        }
        let name = full_name(name, namespace)?;
        // Replaced when all names are known.
        let id = self.push(Shape::Null, None);
        self.references.push((id, name, self.pointer.clone()));
        Ok(id)
    }

    fn parse_object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let kind = object.get("type").ok_or("the member `type` is missing")?;
        let Some(kind) = kind.as_str() else { return self.member(object, "type", namespace) };
        let shape = match kind {
            "record" | "error" => return self.record(object, namespace),
            "enum" => {
                let (name, _) = self.name(object, namespace)?;
                let symbols = self.symbols(object)?;
                return self.define(name.clone(), Shape::Enum { name, symbols }, object);
            }
            "fixed" => {
                let (name, _) = self.name(object, namespace)?;
                let size = object.get("size").and_then(Value::as_u64).and_then(|size| usize::try_from(size).ok());
                let size = size.ok_or("a fixed type needs a number `size`")?;
                return self.define(name.clone(), Shape::Fixed { name, size }, object);
            }
            "array" => Shape::Array(self.member(object, "items", namespace)?),
            "map" => Shape::Map(self.member(object, "values", namespace)?),
            name => match primitive(name) {
                Some(shape) => shape,
                None => return self.member(object, "type", namespace),
            },
        };
        let logical = Logical::parse(object, &shape)?;
        Ok(self.push(shape, logical))
    }

    fn member(&mut self, object: &Map<String, Value>, name: &str, namespace: &str) -> Result<TypeId, String> {
        let json = object.get(name).ok_or_else(|| format!("the member `{name}` is missing"))?;
        self.within(name, |parser| parser.parse(json, namespace))
    }

    fn symbols(&mut self, object: &Map<String, Value>) -> Result<Vec<String>, String> {
        let Some(Value::Array(symbols)) = object.get("symbols") else {
            return Err("an enum needs an array `symbols`".into());
        };
        self.within("symbols", |_| symbols.iter().map(|symbol| checked_name(Some(symbol))).collect())
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, String> {
        let (name, namespace) = self.name(object, namespace)?;
        // It is defined before its fields, because they may contain it.
        let id = self.define(name.clone(), Shape::Null, object)?;
        let Some(Value::Array(declared)) = object.get("fields") else {
            return Err("a record needs an array `fields`".into());
        };
        let (mut fields, mut known) = (Vec::new(), HashSet::new());
        for (index, field) in declared.iter().enumerate() {
            let field = self.within(format_args!("fields/{index}"), |parser| {
                let field = field.as_object().ok_or("a field is an object")?;
                let name = checked_name(field.get("name"))?;
                if !known.insert(name.clone()) {
                    return Err(format!("the field `{name}` is there twice"));
                }
                Ok((name, parser.member(field, "type", &namespace)?))
            });
            fields.push(field?);
        }
        self.types.all[id].shape = Shape::Record { name, fields };
        Ok(id)
    }

    /// Returns the full name of a named type, and the namespace of what it contains.
    fn name(&self, object: &Map<String, Value>, namespace: &str) -> Result<(String, String), String> {
        let name = checked_name(object.get("name"))?;
        let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(namespace);
        let name = full_name(&name, namespace)?;
        if self.names.contains_key(&name) {
            return Err(format!("the type `{name}` is defined twice"));
        }
        let namespace = name.rsplit_once('.').map_or("", |(namespace, _)| namespace).to_owned();
        Ok((name, namespace))
    }

    fn define(&mut self, name: String, shape: Shape, object: &Map<String, Value>) -> Result<TypeId, String> {
        let logical = Logical::parse(object, &shape)?;
        let id = self.push(shape, logical);
        self.names.insert(name, id);
        Ok(id)
    }
}

fn primitive(name: &str) -> Option<Shape> {
    Some(match name {
        "null" => Shape::Null,
        "boolean" => Shape::Boolean,
        "int" => Shape::Int,
        "long" => Shape::Long,
        "float" => Shape::Float,
        "double" => Shape::Double,
        "bytes" => Shape::Bytes,
        "string" => Shape::String,
        _ => return None,
    })
}

fn full_name(name: &str, namespace: &str) -> Result<String, String> {
    let namespace = if name.contains('.') { "" } else { namespace };
    match name.len() + namespace.len() + usize::from(!namespace.is_empty()) {
        bytes if bytes > MAX_NAME_BYTES => Err(too_long(bytes)),
        _ if namespace.is_empty() => Ok(name.to_owned()),
        _ => Ok(format!("{namespace}.{name}")),
    }
}

fn too_long(bytes: usize) -> String {
    format!("a name has {bytes} bytes: at most {MAX_NAME_BYTES} are possible")
}

fn checked_name(name: Option<&Value>) -> Result<String, String> {
    match name.and_then(Value::as_str) {
        Some(name) if name.len() > MAX_NAME_BYTES => Err(too_long(name.len())),
        Some(name) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("a name is missing, empty or not a text".into()),
    }
}
